"""A simulator with canary files and symbolic links around its folder, and the trial that sends it malformed requests.

The simulator is seen from outside only: bytes on a socket, files on a disk.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from emasync.simulator import Generation, Simulator
from tests.faults.checker import changed, snapshot
from tests.faults.malformed import Ask

USERS: Final = {"client1": "secret", "client2": "other"}
CANARY: Final = "the canary nobody may read"
GENERATIONS: Final[tuple[Generation, ...]] = ("seed", "pods", "pvc")


@dataclass(slots=True)
class Surroundings:
    """A simulator's root folder, and files around it that must neither be read nor changed."""

    folder: Path
    root: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        for name in ("outside/canary", "outside/secret.txt", "canary"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(CANARY)

    def add_files(self, sim: Simulator) -> None:
        """Give the users files, and links that lead out of the volume."""
        if not (private := sim.volume("client2") / "private").exists():
            private.write_text(CANARY)
        volume = sim.volume("client1")
        if not (volume / "folder").is_dir():
            _clear(volume / "folder")
            (volume / "folder").mkdir()
        outside = self.folder / "outside"
        links = {"link": outside, "filelink": outside / "canary", "dangling": outside / "new", "loop": volume / "loop"}
        for name, target in links.items():
            if not (volume / name).is_symlink():
                _clear(volume / name)
                (volume / name).symlink_to(target)
        files = {
            "fine.txt": b"fine\n",
            "Dockerfile": b"FROM scratch\nCOPY fine.txt /\n",
            "leaving": b"FROM scratch\nCOPY link/canary /\n",
            "globbing": b"FROM scratch\nCOPY **x [ /\n",
            "nul": b"FROM scratch\nCOPY a\0b /\n",
            "image.tar": image_tar(b'[{"RepoTags": ["client1-echo:latest"]}]'),
            "deep.tar": image_tar(b"[" * 100_000),
            "odd.tar": image_tar(b'[{"RepoTags": 7}, 8]'),
            "cut.tar": image_tar(b"[]")[:700],
            "broken.tar.gz": b"\x1f\x8b\x08\0\0\0\0\0\0\3" + b"\xff" * 600,
            "broken.tar.xz": b"\xfd7zXZ\0" + b"\xff" * 600,
            "broken.tar.bz2": b"BZh9" + b"\xff" * 600,
        }
        for name, data in files.items():
            _clear(volume / name)
            (volume / name).write_bytes(data)
        sim.add_image("client1", "ready")

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        """The state of every file but those in the volumes of `client1` and in the staging folder."""
        mine = ("root/users/client1", "root/staging")
        return {path: fact for path, fact in snapshot(self.folder).items() if not path.startswith(mine)}


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def image_tar(manifest: bytes) -> bytes:
    """A tar that holds only a manifest."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))
    return out.getvalue()


class RawSender:
    """Sends raw requests to one simulator, each on its own connection."""

    def __init__(self, sim: Simulator) -> None:
        host, _, port = sim.url.removeprefix("http://").rstrip("/").partition(":")
        self.host, self.port = host, int(port)
        self.tokens = {"none": ""}

    async def log_in(self) -> None:
        """Get a good token, and make bad ones of it."""
        body = urlencode({"username": "client1", "password": "secret"}).encode()
        _, answer = await self.send(Ask(path="auth/", body=body, token="none"))
        said = json.loads(answer.partition(b"\r\n\r\n")[2])
        good = str(said["access"])
        head, payload, signature = good.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        other = base64.urlsafe_b64encode(json.dumps(claims | {"user_id": "client2"}).encode()).rstrip(b"=").decode()
        altered = signature[:-2] + ("AA" if signature[-2:] != "AA" else "BB")
        self.tokens |= {"good": good, "refresh": str(said["refresh"]), "good-altered": f"{head}.{payload}.{altered}"}
        self.tokens |= {"good-user": f"{head}.{other}.{signature}", "good-unsigned": f"{head}.{payload}."}

    async def send(self, ask: Ask) -> tuple[int, bytes]:
        """The status of the answer (0: the connection was closed without one), and all of it."""
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=1 << 22)
        try:
            writer.write(ask.raw if ask.raw is not None else self._head(ask) + ask.body)
            if ask.raw is not None:
                writer.write_eof()
            answer = await reader.read(-1)
        except ConnectionError:
            answer = b""
        finally:
            writer.close()
        while answer.startswith(b"HTTP/1.1 100"):
            answer = answer.partition(b"\r\n\r\n")[2]
        status = answer.split(b" ", 2)[1:2]
        return (int(status[0]) if answer.startswith(b"HTTP/") and status else 0), answer

    def _head(self, ask: Ask) -> bytes:
        lines = [f"{ask.method} /{ask.path} HTTP/1.1", "Host: em", "Connection: close", *ask.headers]
        lines += [f"Content-Length: {len(ask.body)}"] if ask.body or ask.method == "POST" else []
        lines += [f"Content-Type: {ask.kind}"] if ask.kind and (ask.body or ask.method == "POST") else []
        token = self.tokens.get(ask.token, ask.token)
        lines += [f"Authorization: Bearer {token}"] if token else []
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


async def trial(generation: Generation, asks: Sequence[Ask], folder: Path, *, restore_every: int = 150) -> list[str]:
    """Send `asks`, restoring the files before every `restore_every`-th; returns each wrong answer and changed file."""
    surroundings = Surroundings(folder)
    found: list[str] = []
    async with Simulator(USERS, generation=generation, root=surroundings.root, pod_start=0.0, pod_run=0.0) as sim:
        surroundings.add_files(sim)
        at_start = surroundings.snapshot()
        sender = RawSender(sim)
        for number, ask in enumerate(asks):
            if number % restore_every == 0:
                surroundings.add_files(sim)
                await sender.log_in()
            async with asyncio.timeout(20):
                status, answer = await sender.send(ask)
            if CANARY.encode() in answer or base64.b64encode(CANARY.encode())[:30] in answer:
                found.append(f"I4 outside was read by {ask}")
            if status >= 500 or (status == 0 and ask.raw is None) or (ask.refused and not 400 <= status < 500):
                found.append(f"answered {status}: {ask} -> {answer[:300]!r}")
        found += changed(at_start, surroundings.snapshot())
        await sender.log_in()
        status, _ = await sender.send(Ask(method="GET"))
        if status != 200:
            found.append(f"after all that, a listing is answered {status}")
    return found
