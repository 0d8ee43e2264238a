"""A machine that refuses: a full disk, a limit on file sizes or open files, a folder that may not be written to.

Owns: one coroutine a case, each gives what went wrong. May import the stage and the checker.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.faults.checker import Run, sha256, tree, violations
from tests.faults.stage_local import (
    NO_OVERRIDE,
    USER,
    Ended,
    an_em,
    emasync,
    journals,
    on_tiny_disk,
    some_files,
)

Case = Callable[[Path], Awaitable[list[str]]]
DOWN: Final = ("down", "/", "--into", "out", "--json", "--workers", "4", "--retries", "2")
UP: Final = ("up", "src/", "--json", "--workers", "4", "--retries", "2")
_BIG: Final = 600_000
_OLD: Final = b"the old bytes"


def the_files(seed: int) -> dict[str, bytes]:
    """Twenty small files and two that are too large for what a case leaves."""
    rng = random.Random(seed)
    return some_files(rng, 20) | {"d0/big": rng.randbytes(_BIG), "d1/big": rng.randbytes(_BIG)}


def judge_down(
    end: Ended, files: Mapping[str, bytes], destination: Path, *, before: Mapping[str, str], rows: Path | None = None
) -> list[str]:
    """The checker's word on a downlink by the command line, and what the exit code has to say."""
    report = end.report
    run = Run(
        direction="down",
        wanted=files,
        destination=destination,
        before=before,
        report=report,
        rows=rows,
        ended_ok=end.code == 0,
    )
    return violations(run) + end.ugly() + _code(end)


def _code(end: Ended) -> list[str]:
    report = end.report
    if (end.code == 0) != report.ok:
        return [f"exit {end.code} with {len(report.failed)} failed and {len(report.unknown)} unknown files"]
    return []


def _failed(end: Ended, *wanted: str, words: str) -> list[str]:
    """Exactly the `wanted` files failed, each for the reason that holds `words`."""
    found = {str(outcome.path): str(outcome.error) for outcome in end.report.failed}
    wrong = [] if sorted(found) == sorted(wanted) else [f"failed: {sorted(found)}, not {sorted(wanted)}: {end.err}"]
    return wrong + [f"{path} failed without its reason: {why}" for path, why in found.items() if words not in why]


async def a_full_disk(folder: Path, *, seed: int) -> list[str]:
    """Less room than the files need: what fits is there, the two that can never fit take no other's room."""
    files, home, copy = the_files(seed), folder / "home", folder / "copy"
    (home / "out").mkdir(parents=True)
    copy.mkdir()
    async with an_em(folder / "em", files) as sim:
        end = await emasync(sim.url, home, *DOWN, wrap=on_tiny_disk(home / "out", size=400_000, copy=copy))
    wrong = _failed(end, "d0/big", "d1/big", words="not enough space")
    return wrong + judge_down(_moved(end, copy), files, copy, before={})


async def a_disk_that_lies_about_its_room(folder: Path, *, seed: int) -> list[str]:
    """ENOSPC in the midst of a write: many files at once want the room that each of them was promised."""
    rng = random.Random(seed)
    files = {f"f{index}": rng.randbytes(1_100_000) for index in range(6)}  # streamed: asked for room, then written
    home, copy = folder / "home", folder / "copy"
    (home / "out").mkdir(parents=True)
    copy.mkdir()
    wrap = on_tiny_disk(home / "out", size=3_500_000, copy=copy)
    async with an_em(folder / "em", files, bandwidth=8e6) as sim:
        end = await emasync(sim.url, home, *DOWN, "--workers", "8", wrap=wrap)
    reasons = [
        str(outcome.error) for outcome in end.report.failed
    ]  # of all, by chance: room that comes free comes too late
    wrong = [] if reasons and all("space" in why for why in reasons) else [f"not for want of room: {end.out}"]
    return wrong + judge_down(_moved(end, copy), files, copy, before={})


def _moved(end: Ended, copy: Path) -> Ended:
    """`end`, with files below `copy`, which stands for ``out``: that file system ended with the process."""
    return Ended(code=end.code, out=end.out.replace('"local": "out/', f'"local": "{copy}/'), err=end.err)


async def a_full_state_disk(folder: Path, *, seed: int) -> list[str]:
    """ENOSPC for the journal: the run goes on without one, and says so."""
    files, home, copy = the_files(seed), folder / "home", folder / "copy"
    (home / "emasync").mkdir(parents=True)
    copy.mkdir()
    wrap = on_tiny_disk(home / "emasync", size=40_000, copy=copy)
    state = ("env", f"EMASYNC_STATE_DIR={home / 'emasync'}")
    async with an_em(folder / "em", files) as sim:
        end = await emasync(sim.url, home, *DOWN, wrap=(*wrap, *state))
    run = Run(direction="down", wanted=files, destination=home / "out", ended_ok=end.code == 0)
    told = [] if "no journal is kept" in end.err else [f"the full disk is not told of: {end.err}"]
    return told + ([f"exit {end.code}"] if end.code else []) + violations(run) + end.ugly()


async def a_file_size_limit(folder: Path, *, seed: int) -> list[str]:
    """EFBIG: the two large files fail, old bytes under their names stay."""
    files, home = the_files(seed), folder / "home"
    (home / "out/d0").mkdir(parents=True)
    (home / "out/d0/big").write_bytes(_OLD)
    async with an_em(folder / "em", files) as sim:
        end = await emasync(sim.url, home, *DOWN, wrap=("prlimit", "--fsize=500000"))
    before = {"d0/big": sha256(_OLD)}
    rows = next(iter(journals(home)), None)
    return _failed(end, "d0/big", "d1/big", words="File too large") + judge_down(
        _moved(end, home / "out"), files, home / "out", before=before, rows=rows
    )


async def few_open_files(folder: Path, *, seed: int, limit: int, way: str) -> list[str]:
    """Few open files, or too few for one file: whatever ends it, no file is wrong, none is called done that is not."""
    files, home = the_files(seed), folder / "home"
    for name, data in files.items() if way == "up" else ():
        (home / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "src" / name).write_bytes(data)
    words = (*(UP if way == "up" else DOWN), "--workers", "16")
    async with an_em(folder / "em", {} if way == "up" else files) as sim:
        end = await emasync(sim.url, home, *words, wrap=("prlimit", f"--nofile={limit}"))
        destination = sim.volume(USER) if way == "up" else home / "out"
        struck = [] if end.code or "no more files can be opened" in end.err else ["the limit struck nothing"]
        if not end.report.outcomes:  # it never came to the files: only the truth of its end is left to ask for
            late = Run(
                direction="up" if way == "up" else "down", wanted=files, destination=destination, ended_ok=end.code == 0
            )
            return struck + violations(late) + end.ugly()
        if way == "down":
            return struck + judge_down(_moved(end, home / "out"), files, destination, before={})
        run = Run(direction="up", wanted=files, destination=destination, report=end.report, ended_ok=end.code == 0)
        return struck + violations(run) + end.ugly() + _code(end)


async def folders_that_refuse(folder: Path, *, seed: int) -> list[str]:
    """EACCES: a folder without the right to write takes no file, keeps its old one; the others come."""
    files, home = the_files(seed), folder / "home"
    (home / "out/d1").mkdir(parents=True)
    (home / "out/d1/big").write_bytes(_OLD)
    (home / "out/d1").chmod(0o555)
    refused = [name for name in files if name.startswith("d1/")]
    async with an_em(folder / "em", files) as sim:
        end = await emasync(sim.url, home, *DOWN, wrap=NO_OVERRIDE)
    (home / "out/d1").chmod(0o755)
    wrong = _failed(end, *refused, words="ermission denied")
    return wrong + judge_down(_moved(end, home / "out"), files, home / "out", before={"d1/big": sha256(_OLD)})


async def sources_that_refuse(folder: Path, *, seed: int) -> list[str]:
    """EACCES on the way up: an unreadable file and an unreadable folder fail by name, all others arrive."""
    files, home = some_files(random.Random(seed), 20), folder / "home"
    for name, data in files.items():
        (home / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "src" / name).write_bytes(data)
    (home / "src/d1/f001").chmod(0)
    (home / "src/d2").chmod(0)
    async with an_em(folder / "em") as sim:
        end = await emasync(sim.url, home, *UP, wrap=NO_OVERRIDE)
        there = tree(sim.volume(USER))
    (home / "src/d2").chmod(0o755)
    right = {name: sha256(data) for name, data in files.items() if not name.startswith("d2/") and name != "d1/f001"}
    wrong = [] if there == right else [f"on the EM: {sorted(there)}"]
    return wrong + _failed(end, "d1/f001", "d2", words="ermission denied") + end.ugly() + _code(end)


def cases(seed: int) -> dict[str, tuple[Case, tuple[str, ...]]]:
    """Every case by name, with the programs it needs."""
    about: dict[str, Any] = {"seed": seed}
    found: dict[str, tuple[Case, tuple[str, ...]]] = {
        "full disk": (partial(a_full_disk, **about), ("unshare",)),
        "disk filled by several": (partial(a_disk_that_lies_about_its_room, **about), ("unshare",)),
        "full state disk": (partial(a_full_state_disk, **about), ("unshare",)),
        "file size limit": (partial(a_file_size_limit, **about), ("prlimit",)),
        "folder without rights": (partial(folders_that_refuse, **about), ("setpriv",)),
        "source without rights": (partial(sources_that_refuse, **about), ("setpriv",)),
    }
    for way in ("up", "down"):
        for limit in (9, 11, 12) if way == "up" else (9, 12, 14, 18, 22):  # above, it is chance if they strike
            few = partial(few_open_files, limit=limit, way=way, **about)
            found[f"{limit} open files {way}"] = (few, ("prlimit",))
    return found
