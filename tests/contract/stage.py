"""What the contract tests share: users, settings, local files, and questions to the simulator's log and volumes.

Fixtures are in `conftest`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from emasync import Client, Outcome, RetryPolicy, Settings
from emasync.simulator import LoggedRequest, Simulator

USER, PASSWORD = "client1", "canary-pass/word+1"
USERS = {USER: PASSWORD, "client2": "other"}

QUICK = Settings(retry=RetryPolicy(base_s=0.001, cap_s=0.01))
"""The defaults, with a backoff of milliseconds."""

ODD_NAMES = (
    "with space.txt",
    "Grüße ✓.txt",
    "日本語.bin",
    "percent%20.txt",
    "quote'.txt",
    "a+b&c=d;e.txt",
    "x.tar.gz",
    "-r",
)
"""Names that a form, a query or a multipart header could change, and that must arrive as they are."""

Simulate: TypeAlias = Callable[..., Simulator]
"""Makes a `Simulator` of the generation under test; takes the keywords of `Simulator`."""


def connect(
    sim: Simulator, *, settings: Settings = QUICK, password: str = PASSWORD, volume: str | None = None
) -> Client:
    """A Client of `USER` on `sim`."""
    return Client(sim.url, username=USER, password=password, volume=volume, settings=settings)


def some_bytes(size: int, *, seed: int = 1) -> bytes:
    """Random bytes: the same ones for the same `size` and `seed`."""
    return random.Random(seed).randbytes(size)


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write `files` (content by relative path) below `folder`; returns `folder`."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """The content of every file below `folder` by its relative path; of a symbolic link, ``-> target``."""
    found = sorted(folder.rglob("*"))
    links = {path: f"-> {path.readlink()}".encode() for path in found if path.is_symlink()}
    plain = {path: path.read_bytes() for path in found if path not in links and path.is_file()}
    return {path.relative_to(folder).as_posix(): data for path, data in (plain | links).items()}


def calls(sim: Simulator, path: str) -> list[LoggedRequest]:
    """The logged requests to the endpoint `path`, in order."""
    return [request for request in sim.requests if request.path == path]


def auth_calls(sim: Simulator) -> list[str]:
    """The paths of all requests for a token, in order."""
    return [request.path for request in sim.requests if request.path.startswith("auth")]


def sent_names(sim: Simulator) -> list[str]:
    """Every file received in an uplink, once for each time, as ``folder/name``."""
    return [
        f"{request.detail.get('dest_path', '')}/{name}".lstrip("/")
        for request in calls(sim, "em/files/uplink")
        for name in request.detail.get("files", [])
    ]


def assert_outcome_is_true(outcome: Outcome, remote: Path) -> None:
    """The file of a `done` outcome has the same bytes on both sides, and the outcome's SHA-256 and size are theirs."""
    data = outcome.local.read_bytes()
    assert remote.read_bytes() == data
    assert outcome.bytes == len(data)
    assert outcome.sha256 in (None, hashlib.sha256(data).hexdigest())
