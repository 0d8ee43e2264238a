"""Sources that are not what they were, or no files at all: one coroutine a case, each gives what went wrong.

Owns: the cases. May import emasync, its simulator, the stage and the checker. A change is made at an event of the
transfer, in the loop's thread: between two chunks of the file, at the same place in every run.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from emasync import Client, RetryPolicy, Settings, TransferReport
from emasync.transfer.events import Event, Planned, Progress
from tests.faults.checker import Run, sha256, tree, violations
from tests.faults.stage_local import PASSWORD, USER, an_em

Case = Callable[[Path], Awaitable[list[str]]]
Change = Callable[[Path], None]
_SWIFT: Final = Settings(retry=RetryPolicy(base_s=0.001, cap_s=0.01), durable=False, state_dir=None)
_SIZE: Final = 5_000_000


def shrink(path: Path) -> None:
    """Half of it goes."""
    os.truncate(path, _SIZE // 2)


def grow(path: Path) -> None:
    """One byte more."""
    with path.open("ab") as file:
        file.write(b"x")


def rewrite(path: Path) -> None:
    """Other bytes at its end, the size stays."""
    with path.open("r+b") as file:
        file.seek(_SIZE - 10)
        file.write(b"0123456789")


def rewrite_unseen(path: Path) -> None:
    """`rewrite`, and the time of it is set back."""
    was = path.stat()
    rewrite(path)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def replace_by_another(path: Path) -> None:
    """Another file of the size takes its name."""
    other = path.with_name("other")
    other.write_bytes(bytes(_SIZE))
    other.rename(path)


def vanish(path: Path) -> None:
    """It is gone."""
    path.unlink()


def become_a_pipe(path: Path) -> None:
    """A named pipe that nobody writes to takes its name: opening it must not wait."""
    path.unlink()
    os.mkfifo(path)


CHANGES: Final[tuple[Change, ...]] = (
    shrink,
    grow,
    rewrite,
    rewrite_unseen,
    replace_by_another,
    vanish,
    become_a_pipe,
)


@dataclass(slots=True)
class _Changing:
    """Makes `change` once: when the plan is made, or between the first chunks of the file."""

    path: Path
    change: Change
    early: bool
    made: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        due = isinstance(event, Planned) if self.early else self._between(event)
        if due and not self.made:
            self.made.append(self.change.__name__)
            self.change(self.path)

    def _between(self, event: Event) -> bool:
        return isinstance(event, Progress) and event.path.name == self.path.name and 0 < event.bytes < _SIZE


async def changed_meanwhile(folder: Path, *, change: Change, early: bool, seed: int) -> list[str]:
    """The file that changes fails; its neighbours in the same call arrive; the old file on the EM stays as it was."""
    rng = random.Random(seed)
    files = {f"n{index}.bin": rng.randbytes(rng.randrange(0, 3000)) for index in range(4)}
    files |= {"changing.bin": rng.randbytes(_SIZE), "last.bin": rng.randbytes(_SIZE + 7)}
    source = _write(folder / "src", files)
    old = b"what was there before"
    changing = _Changing(source / "changing.bin", change, early)
    async with an_em(folder / "em", {"changing.bin": old}) as sim, _client(sim.url) as em:
        report = await em.uplink(f"{source}/", on_event=changing.take)
        wrong = [] if changing.made else ["the change was never made"]
        failed = [str(outcome.path) for outcome in report.failed]
        wrong += [] if failed == ["changing.bin"] else [f"failed: {failed}: {report!r}"]
        run = Run(
            direction="up",
            wanted=files,
            before={"changing.bin": sha256(old)},
            destination=sim.volume(USER),
            report=report,
        )
        return wrong + violations(run)


async def odd_things(folder: Path, *, seed: int) -> list[str]:
    """Pipes, sockets, devices, loops and names that are no text are refused by name; what is a file arrives."""
    rng = random.Random(seed)
    files = {"a/plain": rng.randbytes(1000), "a/empty": b"", "linked": b"through a link", "a/ü ✓": b"text"}
    source = _write(folder / "src", files)
    os.mkfifo(source / "pipe")
    _bind(source / "socket")
    (source / "device").symlink_to("/dev/zero")
    (source / "self").symlink_to("self")
    (source / "a/up").symlink_to("..")
    (source / "nowhere").symlink_to("gone")
    (source / "link").symlink_to("linked")
    (source / os.fsdecode(b"caf\xe9")).write_bytes(b"latin")
    (source / os.fsdecode(b"dir\xff")).mkdir()
    (source / os.fsdecode(b"dir\xff") / "inner").write_bytes(b"in it")
    refused = ["a/up", "caf\\xe9", "device", "dir\\xff", "nowhere", "pipe", "self", "socket"]
    async with an_em(folder / "em") as sim, _client(sim.url) as em:
        report = await em.uplink(f"{source}/")
        wanted = {**files, "link": files["linked"]}
        there = tree(sim.volume(USER))
    wrong = [] if there == {name: sha256(data) for name, data in wanted.items()} else [f"on the EM: {sorted(there)}"]
    return wrong + _refused(report, refused) + ([] if len(report.done) == len(wanted) else [repr(report.done)])


async def deep_folders(folder: Path, *, seed: int) -> list[str]:
    """A path of 300 names goes up and comes down again."""
    place = "/".join(["d"] * 299)
    files = {f"{place}/leaf": random.Random(seed).randbytes(2000), "d/top": b""}
    source = _write(folder / "src", files)
    async with an_em(folder / "em") as sim, _client(sim.url) as em:
        up = await em.uplink(f"{source}/")
        wrong = violations(Run(direction="up", wanted=files, destination=sim.volume(USER), report=up, ended_ok=up.ok))
        down = await em.downlink("/", into=folder / "out")
        wrong += violations(
            Run(direction="down", wanted=files, destination=folder / "out", report=down, ended_ok=down.ok)
        )
    return wrong + ([] if up.ok and down.ok else [f"up {up.failed!r}, down {down.failed!r}"])


async def folders_too_deep(folder: Path, *, seed: int) -> list[str]:
    """Names that together are longer than the system takes in one path: refused with a reason, the rest arrives."""
    files = {"d/top": random.Random(seed).randbytes(10)}
    source = _write(folder / "src", files)
    current = os.open(source / "d", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("twenty-characters-xx", dir_fd=current)
        inner = os.open("twenty-characters-xx", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = inner
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=current))
    os.close(current)
    async with an_em(folder / "em") as sim, _client(sim.url) as em:
        report = await em.uplink(f"{source}/")
        there = tree(sim.volume(USER))
    wrong = [] if there == {name: sha256(data) for name, data in files.items()} else [f"on the EM: {sorted(there)}"]
    said = [str(outcome.error) for outcome in report.failed]
    return wrong + ([] if len(said) == 1 and "too long" in said[0] else [f"the deep folder: {said}"])


def _refused(report: TransferReport, wanted: list[str]) -> list[str]:
    found = sorted(str(outcome.path) for outcome in report.failed)
    wrong = [] if found == sorted(wanted) else [f"refused: {found}, not {sorted(wanted)}"]
    return wrong + [f"{outcome.path} without a reason" for outcome in report.failed if not str(outcome.error)]


def _bind(path: Path) -> None:
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(path.parent)  # a socket's path has room for 108 bytes
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


def _client(url: str) -> Client:
    return Client(url, username=USER, password=PASSWORD, settings=_SWIFT)


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def cases(seed: int) -> dict[str, tuple[Case, tuple[str, ...]]]:
    """Every case by name, with the programs it needs (none)."""
    found: dict[str, Case] = {
        f"{change.__name__} {'before' if early else 'while'} it is sent": partial(
            changed_meanwhile, change=change, early=early, seed=seed
        )
        for change in CHANGES
        for early in (True, False)
    }
    found["odd things"] = partial(odd_things, seed=seed)
    found["300 names deep"] = partial(deep_folders, seed=seed)
    found["too deep for a path"] = partial(folders_too_deep, seed=seed)
    return {name: (case, ()) for name, case in found.items()}
