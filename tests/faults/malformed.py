"""Malformed requests: a fixed list with each kind once, and random combinations. Imports nothing of emasync."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.faults.hostile_names import families
from tests.unit.simulator.raw_client import BOUNDARY, multipart

_FORM: Final = "application/x-www-form-urlencoded"
_DATA: Final = f"\r\n\r\ndata\r\n--{BOUNDARY}--\r\n".encode()
_MULTIPART: Final = f"multipart/form-data; boundary={BOUNDARY}"
_EM: Final = (
    *("em/files/uplink", "em/files/list", "em/files/downlink", "em/files/delete", "em/pod/image/build"),
    *("em/pod/image/load", "em/pod/image/list", "em/pod/run", "em/pod/status", "em/nodes/status", "em/pvc/list"),
)
_PATHS: Final = ("auth/", "auth/refresh", *_EM)
_FIELDS: Final = (
    *("username", "password", "refresh", "dest_path", "filepath", "image", "dockerfile", "context", "tarfile", "node"),
    *("max_duration", "command", "scheduled_time", "args", "envs", "ports", "pod_name", "pvc_name"),
)
_WAYS_OUT: Final = (
    *("../outside/canary", "/../outside/canary", "link/canary", "link", "link/../outside/canary", "filelink", "loop"),
    *("a/../../outside/canary", "..", "../", "link/new", "link/new/deep", "dangling", "dangling/x", "./../../staging"),
    *("../../client2/default/private", "../../../../outside/canary", "..%2foutside", "x\0", "a\0/../b", "\0", "folder"),
    *("a" * 300, "a/" * 3000, "b/" * 400, "\udcff", "~", "*", "**", "[", "fifo", "secret.txt", "folder/secret.txt"),
)
_VALUES: Final = (
    *("", " ", "0", "-1", "1e9", "9" * 5000, "99999999999999999999", "NaN", "FPGA", "GPU", "echo", "client1-ready"),
    *("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2026-13-45", "2026-01-01", "x" * 70_000, "[", "{}"),
    *(
        "a" * 64,
        "..",
        "a/b",
        "default",
        "\ufffd",
        "é" * 200,
        "null",
        "Dockerfile",
        "image.tar",
        "echo:latest",
        "\x1b[2J",
    ),
)
_ODD: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        0,
        -1,
        10**400,
        1e308,
        [],
        [[]],
        {},
        {"a": {"b": []}},
        ["x", 1],
        "\ud800",
        "a\ud800/b",
        {"\udc00": 1},
    ),
    *([70000], [True], ["80"], {"k": None}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. `token` is "good", "none", or one of its own; a `raw` one is sent as it is, whatever it is."""

    method: str = "POST"
    path: str = "em/files/list"
    kind: str = _FORM
    body: bytes = b""
    token: str = "good"
    headers: tuple[str, ...] = ()
    raw: bytes | None = None
    refused: bool = False  # whether only 4xx will do

    def __str__(self) -> str:
        shown = self.raw if self.raw is not None else self.body
        about = f"{self.method} {self.path[:120]} [{self.kind[:80]}] token {self.token[:60]}"
        return f"{about} {self.headers!r:.200} {shown!r:.300}"


def fixed() -> Iterator[Ask]:
    """Every kind of malformed request once."""
    yield from _wrong_methods()
    yield from _ways_out()
    yield from _bad_bodies()
    yield from _bad_multiparts()
    yield from _bad_tokens()
    yield from _odd_fields()
    yield from _raw_junk()


def essential() -> Iterator[Ask]:
    """Those of `fixed` that aim at something: ways out of the volume, tokens, broken JSON, odd heads and times."""
    yield from _ways_out()
    yield from _bad_tokens()
    yield from (ask for ask in _bad_bodies() if ask.kind == "application/json" and len(ask.body) < 1_000_000)
    yield from (ask for ask in _bad_multiparts() if ask.body.endswith(_DATA) and ask.path == "em/files/delete")
    timed = (b"max_duration", b"scheduled_time")
    yield from (ask for ask in _odd_fields() if ask.path == "em/pod/run" and any(name in ask.body for name in timed))


def _wrong_methods() -> Iterator[Ask]:
    for path in _PATHS:
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "BREW", "CONNECT"):
            yield Ask(method=method, path=path, refused=True)
    for path in (
        "",
        "em",
        "em/",
        "auth",
        "em/files",
        "admin/",
        "em/files/list/",
        "../auth/",
        "em/../auth/",
        "%2e%2e/x",
    ):
        yield Ask(method="GET", path=path)
        yield Ask(method="POST", path=path)


def _ways_out() -> Iterator[Ask]:
    for path in (*_WAYS_OUT, *(hostile.name for hostile in families() if hostile.family in ("parent", "nul"))):
        text = path.encode("utf-8", "surrogatepass")
        out = ".." in path.split("/") or "\0" in path
        yield Ask(method="GET", path=f"em/files/downlink?filepath={quote(text)}", refused=out)
        yield Ask(path="em/files/delete", body=b"filepath=" + quote(text, safe="").encode())
        yield _uplink([("f.txt", b"x")], dest_path=path)
        for field_name in ("dockerfile", "context"):
            fields = {"image": "echo", "dockerfile": "Dockerfile", "context": "folder"} | {field_name: text}
            yield _form("em/pod/image/build", fields)
        yield _form("em/pod/image/load", {"image": "echo", "tarfile": text})
        for key in ("pod_name", "pvc_name"):
            yield Ask(method="GET", path=f"em/files/list?{key}={quote(text, safe='')}")
            yield _uplink([("f.txt", b"x")], **{key: path})
    for name in ("leaving", "globbing", "nul"):
        yield _form("em/pod/image/build", {"image": "echo", "dockerfile": name, "context": "/"}, refused=True)
    for name in ("deep.tar", "odd.tar", "cut.tar", "broken.tar.gz", "broken.tar.xz", "broken.tar.bz2", "fine.txt"):
        yield _form("em/pod/image/load", {"image": "echo", "tarfile": name}, refused=True)


def _form(path: str, fields: dict[str, Any], *, refused: bool = False) -> Ask:
    return Ask(path=path, body=urlencode(fields).encode(), refused=refused)


def _uplink(files: list[tuple[str, bytes]], **fields: str) -> Ask:
    clean = {name: value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") for name, value in fields.items()}
    return Ask(path="em/files/uplink", kind=_MULTIPART, body=multipart(files, **clean))


def _bad_bodies() -> Iterator[Ask]:
    texts = (
        *(b"", b"{", b"[]", b'"x"', b"1", b"null", b"\xff\xfe", b"{}x", b"NaN", b'{"a":NaN}', b"\0", b'{"a":1e999}'),
        *(b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 5000 + b"}", b"\xed\xa0\x80", b'{"refresh": []}'),
        *(b'{"username": {}, "password": []}', b'{"username": "client1", "password": "\\ud800"}', b"x" * 3_000_000),
        *(b'{"username": "\\ud800", "password": "x"}', b'{"refresh": "\\ud800.x.y"}', b'{"refresh": 7}'),
    )
    kinds = ("application/json", _FORM, "text/plain", "", ";;", "application/json; charset=nonsense", "x" * 300)
    for path in ("auth/", "auth/refresh", "em/files/delete", "em/pod/run", "em/pod/image/build", "em/files/list"):
        for kind in kinds:
            yield from (Ask(path=path, kind=kind, body=text) for text in texts)


def _bad_multiparts() -> Iterator[Ask]:
    begin, end = f"--{BOUNDARY}\r\n".encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    heads = (
        *(b"", b"Content-Disposition", b"Content-Disposition: form-data", b'Content-Disposition: form-data; name="'),
        *(b"Content-Disposition: form-data; filename=x", b"X: y", b"\xff\xfe: \xff", b"A" * 20_000),
        *(b"Content-Disposition: form-data; name=files; filename*=nonsense''%41", b"Content-Disposition: ;;;name=;"),
        *(b"Content-Disposition: form-data; name=files; filename*=undefined''%FF", b"Content-Disposition: a" * 500),
        *(b"Content-Disposition: form-data; name=files; filename*=idna''%FF", b'Content-Disposition: x; name="a\\'),
        *(
            b"Content-Disposition: form-data; name=files; filename*=hex''%41",
            b"Content-Disposition: form-data; name*=u''",
        ),
    )
    for path in ("em/files/uplink", "em/files/delete", "auth/"):
        for head in heads:
            yield Ask(path=path, kind=_MULTIPART, body=begin + head + _DATA)
        for body in (b"", begin, end, begin * 1000, b"junk", begin + b"\0" * 9000, begin.rstrip() + b"junk" + end):
            yield Ask(path=path, kind=_MULTIPART, body=body)
        for kind in (
            *(
                "multipart/form-data",
                "multipart/form-data; boundary=",
                'multipart/form-data; boundary="',
                "multipart/x",
            ),
            *("multipart/form-data; x*=nonsense''%41; boundary=b", f"multipart/form-data; boundary={'b' * 9000}"),
            *("multipart/form-data; boundary=\xff", "multipart/form-data; boundary*=utf-16''%FF"),
        ):
            yield Ask(path=path, kind=kind, body=multipart([("x", b"y")]))
    names = [hostile.name.encode("utf-8", "surrogatepass").decode("utf-8", "replace") for hostile in families()]
    for name in [*_WAYS_OUT[:-12], *names]:
        clean = name.replace('"', "%22").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        yield _uplink([(clean, b"x")])
    yield _uplink([(f"{number}", b"") for number in range(300)])
    yield _uplink([("folder", b"x")])
    yield _uplink([("filelink", b"x"), ("dangling", b"x"), ("link", b"x")])
    yield _uplink([], **{f"field-{number}": "x" for number in range(3000)})
    yield _uplink([], dest_path="x" * 100_000)


def _bad_tokens() -> Iterator[Ask]:
    def encode(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"token_type": "access", "exp": 9999999999, "iat": 0, "jti": "x", "user_id": "client1"}
    none = f"{encode({'alg': 'none', 'typ': 'JWT'})}.{encode(claims)}."
    tokens = [none, f"{none}x", "x", "..", "a.b.c", "\xe9.\xe9.\xe9", "good-altered", "good-user", "good-unsigned"]
    tokens += ["refresh", "x" * 7000, "." * 3000, "none"]
    for path in _EM[:10]:
        method = "POST" if path in _EM[:1] + _EM[3:6] + _EM[7:8] else "GET"
        yield from (Ask(method=method, path=path, token=token, refused=True) for token in tokens)
    for header in ("Basic Y2xpZW50MTpzZWNyZXQ=", "Bearer", "Bearer ", "bearer x", "Bearer a b c", "", "Digest \xff"):
        yield Ask(method="GET", token="none", headers=(f"Authorization: {header}",), refused=True)
    for name in ("client2", "CLIENT1", "client1\0", "../client2", "", "admin", "é"):
        yield _form("auth/", {"username": name, "password": "secret"}, refused=True)


def _odd_fields() -> Iterator[Ask]:
    good = {"image": "ready", "node": "FPGA", "filepath": "fine.txt", "dockerfile": "Dockerfile", "context": "/"}
    for path in ("em/pod/run", "em/pod/image/build", "em/files/delete", "em/pod/status", "em/files/list", "auth/"):
        for name in _FIELDS:
            for value in (*_VALUES, *_WAYS_OUT[:6]):
                text = value.encode("utf-8", "surrogatepass")
                yield _form(
                    path, good | {name: text} if path != "em/files/delete" or name == "filepath" else {name: text}
                )
            for odd in _ODD:
                body = json.dumps(good | {name: odd} if path != "em/files/delete" else {name: odd}).encode()
                yield Ask(path=path, kind="application/json", body=body)


def _raw_junk() -> Iterator[Ask]:
    line = b"GET /em/files/list HTTP/1.1\r\nHost: x\r\n"
    post = b"POST /em/files/delete HTTP/1.1\r\nHost: x\r\n"
    for raw in (
        *(
            b"\r\n\r\n",
            b"\0" * 500,
            b"SSH-2.0-x\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
        ),
        *(b"GET /\xff HTTP/1.1\r\n\r\n", b"GET http://[::1 HTTP/1.1\r\n\r\n", b"GET //// HTTP/1.1\r\nHost: x\r\n\r\n"),
        line + b"X: y\r\n" * 20_000 + b"\r\n",
        line + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        line + b"Authorization: Bearer \xff\xfe\0\r\n\r\n",
        line + b": empty\r\n no fold\r\n\r\n",
        *(post + b"Content-Length: " + text + b"\r\n\r\nx" for text in (b"-1", b"x", b"1e3", b"9" * 30, b"+1", b" ")),
        post + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        *(post + b"Transfer-Encoding: chunked\r\n\r\n" + text for text in (b"zz\r\n", b"-1\r\n", b"F" * 50 + b"\r\n")),
        post + b"Transfer-Encoding: gzip, nonsense\r\n\r\n",
        post + b"Expect: something\r\nContent-Length: 1\r\n\r\nx",
        post + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        post + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        line + b"Accept: \xff\r\n\r\n",
    ):
        yield Ask(method="raw", path="", raw=raw)


def random_asks(rng: random.Random, count: int) -> Iterator[Ask]:
    """`count` requests put together at random of all that is odd."""
    values = [*_WAYS_OUT, *_VALUES]
    for _ in range(count):
        path = rng.choice(_PATHS)
        fields = {rng.choice(_FIELDS): rng.choice(values) for _ in range(rng.randrange(1, 6))}
        encoded = urlencode({name: text.encode("utf-8", "surrogatepass") for name, text in fields.items()}).encode()
        match rng.randrange(6):
            case 0:
                yield Ask(path=path, body=_spoiled(encoded, rng))
            case 1:
                odd = {name: rng.choice([*_ODD, *values]) for name in fields}
                yield Ask(path=path, kind="application/json", body=_spoiled(json.dumps(odd).encode(), rng))
            case 2:
                names = [rng.choice(values)[:200].replace('"', "'") for _ in range(rng.randrange(4))]
                safe = [name.encode("utf-8", "replace").decode() for name in names]
                clean = {name: text.encode("utf-8", "replace").decode() for name, text in fields.items()}
                body = multipart([(name, rng.randbytes(rng.randrange(50))) for name in safe], **clean)
                yield Ask(path=rng.choice((path, "em/files/uplink")), kind=_MULTIPART, body=_spoiled(body, rng))
            case 3:
                yield Ask(method=rng.choice(("GET", "POST")), path=f"{path}?{encoded.decode()[:6000]}")
            case 4:
                good = {"image": "ready", "node": "FPGA", "filepath": "x", "dockerfile": "Dockerfile", "context": "/"}
                yield Ask(path=path, kind="application/json", body=json.dumps(good | fields).encode())
            case _:
                head = f"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(encoded)}\r\n\r\n".encode()
                yield Ask(method="raw", path="", raw=_spoiled(head + encoded, rng, most=20))


def _spoiled(data: bytes, rng: random.Random, *, most: int = 4) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(most) if out else 0):
        at = rng.randrange(len(out))
        match rng.randrange(3):
            case 0:
                out[at] = rng.randrange(256)
            case 1:
                del out[at : at + rng.randrange(1, 9)]
            case _:
                out[at:at] = rng.randbytes(rng.randrange(1, 5))
        if not out:
            break
    return bytes(out)
