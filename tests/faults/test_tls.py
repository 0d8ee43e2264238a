"""Certificates: whoever is not who they say they are gets neither password nor file, and the error says what to do."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import pytest
import trustme
from aiohttp import web

from emasync import Client, RetryPolicy, Settings, UnreachableError
from tests.cli.child import CANARY, EMASYNC, login, run
from tests.faults.checker import leaks

SETTINGS = Settings(retry=RetryPolicy(base_s=0.001, cap_s=0.001), state_dir=None)
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """The authority of the EM's owner."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate, as a user would have it."""
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return file


class Https:
    """An EM behind TLS. `asked` are the paths that it heard, `url` names it by its address."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.connections = 0
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """A log-in or an empty volume."""
        self.asked.append(request.path)
        return web.json_response({"access": "a-token"} if "auth" in request.path else {"message": "", "data": []})


@asynccontextmanager
async def https(certificate: trustme.LeafCert) -> AsyncIterator[Https]:
    """Serve with `certificate` on 127.0.0.1."""
    em = Https()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    def count(*_: object) -> None:
        em.connections += 1

    context.sni_callback = count
    runner = web.ServerRunner(web.Server(em.answer, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        em.url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
        yield em
    finally:
        await runner.cleanup()


def context_of(file: Path) -> ssl.SSLContext:
    """What `--ca` makes of a file."""
    return ssl.create_default_context(cafile=file)


# Sabotage: let Transport ignore `ssl_context`.
async def test_a_certificate_of_a_trusted_authority_is_taken(ca: trustme.CA, ca_file: Path) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as em:
        async with Client(
            em.url, username="c", password=CANARY, settings=SETTINGS, ssl_context=context_of(ca_file)
        ) as client:
            assert len(await client.files.list()) == 0
    assert em.asked == ["/auth/", "/em/files/list"]


# Sabotage: pass ssl=False in Transport._request (all of these then log in); leave `permanent` out of retry._row or of
# the error (six connections instead of one); swap the texts of 9 and 10 in `_ADVICE`.
@pytest.mark.parametrize(
    ("kind", "says", "advice"),
    [
        ("unknown", "self-signed certificate in certificate chain|unable to get local issuer", "--ca FILE.pem"),
        ("self-signed", "self-signed certificate", "--ca FILE.pem"),
        ("wrong host", "IP address mismatch", "the name that the certificate was made for"),
        ("expired", "certificate has expired", "must renew it"),
    ],
)
async def test_a_bad_certificate_ends_the_call_at_once_and_says_what_to_do(
    ca: trustme.CA, ca_file: Path, kind: str, says: str, advice: str
) -> None:
    certificate = {
        "unknown": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "self-signed": lambda: _self_signed(),
        "wrong host": lambda: ca.issue_cert("em.example.com", "10.1.2.3"),
        "expired": lambda: ca.issue_cert("127.0.0.1", not_before=PAST, not_after=PAST + datetime.timedelta(days=1)),
    }[kind]()
    async with https(certificate) as em:
        async with Client(
            em.url, username="c", password=CANARY, settings=SETTINGS, ssl_context=context_of(ca_file)
        ) as client:
            with pytest.raises(UnreachableError, match=says) as caught:
                await client.files.list()
    assert advice in str(caught.value)
    assert "certificate" in str(caught.value)
    assert not caught.value.sent
    assert em.asked == []
    assert em.connections == 1


def _self_signed() -> trustme.LeafCert:
    """A certificate that is its own authority."""
    own = trustme.CA()
    return trustme.LeafCert(own.private_key_pem.bytes(), own.cert_pem.bytes(), [])


async def ls(em: Https, *flags: str, home: Path) -> tuple[int, str, str]:
    """``emasync ls`` in a child, while this loop serves."""

    def child() -> tuple[int, str, str]:
        ended = run(*EMASYNC, "ls", "--json", "-vv", *flags, home=home, env=login(em.url))
        return ended.returncode, ended.stdout, ended.stderr

    return await anyio.to_thread.run_sync(child)


# Sabotage: leave `ssl_context=tls(...)` out of `cli/runner._client`.
async def test_the_command_says_what_to_do_about_a_certificate(ca: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    async with https(ca.issue_cert("127.0.0.1")) as em:
        bare = await ls(em, home=tmp_path)
        asked = list(em.asked)
        trusted = await ls(em, "--ca", str(ca_file), home=tmp_path)
        missing = await ls(em, "--ca", str(tmp_path / "no.pem"), home=tmp_path)
        (tmp_path / "bad.pem").write_text("no certificate\n")
        broken = await ls(em, "--ca", str(tmp_path / "bad.pem"), home=tmp_path)
    assert (bare[0], asked) == (5, [])
    assert "--ca FILE.pem" in bare[1]
    assert "--ca FILE.pem" in bare[2]
    assert trusted[0] == 0, trusted[2]
    assert 0 not in (missing[0], broken[0])
    for number, (_, out, told) in enumerate((bare, trusted, missing, broken)):
        assert "Traceback" not in told
        assert leaks([CANARY, "a-token"], {f"stdout {number}": out, f"stderr {number}": told}) == []


@pytest.mark.parametrize("flags", [(), ("-q",)])
async def test_insecure_works_and_warns(tmp_path: Path, flags: tuple[str, ...]) -> None:
    # Sabotage: leave out the warning in cli/runner._client; or `say`, which -q silences, in place of `warn`.
    async with https(_self_signed()) as em:
        code, _, told = await ls(em, "--insecure", *flags, home=tmp_path)
    assert code == 0, told
    assert "warning: --insecure" in told
    assert em.asked == ["/auth/", "/em/files/list"]
