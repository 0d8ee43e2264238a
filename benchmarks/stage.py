"""What the rows set up and look through: servers with files to fetch, local files to send, and whether all arrived.

Owns: the two ways of moving (down, up) with few large or many small files. May import harness and material.
Knows no peers and no goals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.harness import Plan, ServerProcess, Side, serving
from benchmarks.job import Job
from benchmarks.material import MIB, sha256_of, small, small_answer, small_name, write_answer, write_large
from benchmarks.servers.plan import KnownFile, LargeFile, ServerPlan
from emasync.wire.content_tag import content_tag

_BIG = "big.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A server, the job that its files are for, what is to be done before a run, and the check after it."""

    server: ServerProcess
    job: Job
    before: Callable[[Side], None]
    check: Callable[[Side], None]

    def flushed(self) -> Job:
        """The same job with fsync."""
        return replace(self.job, fsync=True)


@contextmanager
def large_down(plan: Plan, size: int) -> Iterator[Stage]:
    """One file of `size` bytes to fetch, its answer encoded in memory and sent by sendfile."""
    encoded = plan.ram / "answer.json"
    digest = write_answer(encoded, size)
    wire = {_BIG: sha256_of(encoded)}
    file = LargeFile(path=_BIG, answer=str(encoded), size=size, tag=digest.tag)
    try:
        with serving(ServerPlan(large=(file,))) as server:
            job = Job(url=server.url, paths=(_BIG,), into=str(plan.scratch / "into"))
            yield Stage(server=server, job=job, before=_nothing, check=_landed({_BIG: digest.sha256}, wire))
    finally:
        encoded.unlink()


@contextmanager
def small_down(
    plan: Plan, files: int, size: int, *, workers: int, hold_s: float = 0.0, exclusive: bool = False
) -> Iterator[Stage]:
    """`files` of `size` bytes each to fetch, all in one folder."""
    contents = {small_name(index): small(index, size) for index in range(files)}
    decoded = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    wire = {name: hashlib.sha256(small_answer(name, data)).hexdigest() for name, data in contents.items()}
    server_plan = ServerPlan(small=files, small_size=size, hold_s=hold_s, exclusive=exclusive)
    with serving(server_plan) as server:
        paths = tuple(f"data/{name}" for name in contents)
        job = Job(url=server.url, paths=paths, folder="data", into=str(plan.scratch / "into"), workers=workers)

        def before(side: Side) -> None:
            server.control("reset")

        landed = _landed(decoded, wire)

        def check(side: Side) -> None:
            landed(side)
            if server.control("counts")["requests"] < files:
                raise RuntimeError(f"{side.name}: not every file was asked for")

        yield Stage(server=server, job=job, before=before, check=check)


@contextmanager
def large_up(plan: Plan, size: int) -> Iterator[Stage]:
    """One file of `size` bytes to send."""
    source = plan.scratch / _BIG
    digest = write_large(source, size)
    known = KnownFile(name=_BIG, size=size, tag=digest.tag)
    try:
        with serving(ServerPlan(room=size + MIB, known=(known,))) as server:
            job = Job(url=server.url, sources=(str(source),), dest="up")
            yield _sending(server, job, {f"up/{_BIG}": [size, digest.sha256]})
    finally:
        source.unlink()


@contextmanager
def small_up(plan: Plan, files: int, size: int, *, workers: int, hold_s: float = 0.0) -> Iterator[Stage]:
    """`files` of `size` bytes each to send, all in one folder."""
    folder = plan.scratch / "sources"
    expected = write_small(folder, files, size)
    known = tuple(KnownFile(name=name, size=size, tag=content_tag((folder / name).read_bytes())) for name in expected)
    with serving(ServerPlan(room=files * (size + 4096) + MIB, hold_s=hold_s, known=known)) as server:
        sources = tuple(str(folder / name) for name in expected)
        job = Job(url=server.url, sources=sources, dest="up", workers=workers)
        yield _sending(server, job, {f"up/{name}": [size, sha256] for name, sha256 in expected.items()})


def write_small(folder: Path, files: int, size: int) -> dict[str, str]:
    """Write the small files to `folder`; the SHA-256 of each by name."""
    folder.mkdir(parents=True)
    expected = {}
    for index in range(files):
        data, name = small(index, size), small_name(index)
        (folder / name).write_bytes(data)
        expected[name] = hashlib.sha256(data).hexdigest()
    return expected


def _nothing(side: Side) -> None:
    pass


def _landed(decoded: Mapping[str, str], wire: Mapping[str, str]) -> Callable[[Side], None]:
    """A check that the files are in ``into`` and nothing else; curl's are the encoded answers."""

    def check(side: Side) -> None:
        if not side.writes:
            return
        found = {path.name: sha256_of(path) for path in Path(side.job.into).iterdir()}
        if found != (wire if side.peer == "curl" else decoded):
            raise RuntimeError(f"{side.name}: what landed is not what was sent")

    return check


def _sending(server: ServerProcess, job: Job, expected: Mapping[str, list[int | str]]) -> Stage:
    def before(side: Side) -> None:
        server.control("reset")

    def check(side: Side) -> None:
        if server.control("received") != expected:
            raise RuntimeError(f"{side.name}: what arrived is not what was sent")

    return Stage(server=server, job=job, before=before, check=check)
