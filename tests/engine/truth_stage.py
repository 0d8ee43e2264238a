"""What the truth tests share: many files on disk, and the questions every one of them asks at its end.

Owns: making trees, comparing them by SHA-256, and looking for what a transfer may have left behind.
May import emasync and its simulator. Holds no fixture.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import anyio

from emasync import Limits, RetryPolicy, Settings
from emasync.simulator import Simulator
from tests.contract.stage import sent_names

SWIFT = Settings(retry=RetryPolicy(base_s=0.001, cap_s=0.01), durable=False, state_dir=None)
"""Settings of a test that is not about power cuts, nor about what a client remembers."""


def swift(*, limits: Limits | None = None, state_dir: Path | None = None) -> Settings:
    """`SWIFT` with other limits, or with a memory."""
    return Settings(retry=SWIFT.retry, durable=False, limits=limits or Limits(), state_dir=state_dir)


def many(folder: Path, count: int, *, size: int = 10, parts: int = 1) -> Path:
    """`count` files of `size` bytes, each with a content of its own, dealt to `parts` folders below `folder`."""
    for part in range(parts):
        (folder / f"part-{part:02}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        data = f"{number:08}".encode() * (size // 8 + 1)
        (folder / f"part-{number % parts:02}" / f"{number:05}.bin").write_bytes(data[:size])
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below `folder`, by its relative path. Links and odd things would show as an error."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def times_sent(sim: Simulator) -> Counter[str]:
    """How often each file reached the server whole, by its path on the EM."""
    return Counter(sent_names(sim))


def open_files() -> list[str]:
    """What this process has open, but for pipes, sockets of the event loop and the like: paths."""
    found: list[str] = []
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = str(Path(entry.path).readlink())
        except OSError:
            continue  # the handle of this very listing
        if target.startswith("/") and not target.startswith(("/dev/", "/proc/")):
            found.append(target)
    return sorted(found)


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            count += str(Path(entry.path).readlink()).startswith("socket:")
        except OSError:
            continue
    return count


@dataclass(frozen=True, slots=True)
class Before:
    """What was there before a transfer."""

    tasks: set[asyncio.Task[object]]
    files: list[str]
    sockets: int


def before() -> Before:
    """Remember what is there now, for `assert_nothing_is_left`."""
    return Before({*asyncio.all_tasks()}, open_files(), sockets())


async def assert_nothing_is_left(was: Before, folders: Iterable[Path]) -> None:
    """No task, open file or socket that was not there `before`, and no temporary file below `folders`."""

    def tidy() -> bool:
        return asyncio.all_tasks() <= was.tasks | {asyncio.current_task()} and sockets() <= was.sockets

    for _ in range(200):  # closed connections take a few turns of the loop to say good-bye
        if tidy():
            break
        await anyio.sleep(0.005)
    assert asyncio.all_tasks() <= was.tasks | {asyncio.current_task()}
    assert sockets() <= was.sockets
    assert open_files() == was.files
    assert [path for folder in folders for path in folder.rglob("*") if path.name.startswith(".emasync-")] == []


def other_tag(rule: int) -> Callable[[bytes], int]:
    """Another way to make a tag of an MD5 than the known one: a server that counts differently."""
    return lambda digest: int.from_bytes(digest[:8], "little", signed=True) ^ rule


def a_mixed_bag(folder: Path, *, seed: int = 1) -> Path:
    """500 files of 0 bytes to 20 MB, most of them small, about 140 MB in all, in nested folders with odd names."""
    rng = random.Random(seed)
    folders = [
        "",
        "a",
        "a/b",
        "a/b/c d",
        "Grüße",
        "日本/語",
        "with space/and more",
        "deep/" + "/".join("abcdefgh"),
        "x.d",
    ]
    sizes = [20_000_000, 20_000_000, 12_345_678, 5_000_001, 1_048_576, 1_048_577, 1_048_575, 65_536, 65_537, 0, 0, 1]
    sizes += [rng.randrange(1_000_000, 4_000_000) for _ in range(25)]
    sizes += [int(10 ** rng.uniform(0, 5)) for _ in range(500 - len(sizes))]
    names = ("file {}.bin", "ü {}.txt", "データ{}.dat", "plain{}", "50%25 {}.x", "it's {}.csv", "-{}.tar.gz")
    for number, size in enumerate(sizes):
        path = folder / rng.choice(folders) / rng.choice(names).format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size))
    return folder
