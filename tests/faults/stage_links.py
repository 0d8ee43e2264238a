"""Symbolic links planted at, above and beside what is saved, before it and while it runs: one case a function.

Owns: the cases; each returns what went wrong. May import emasync and the lying EM; judges by the ground's canaries.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final
from unittest.mock import patch

from emasync import OutcomeState, TransferReport, UnsafePathError
from tests.faults.checker import sha256, tree
from tests.faults.stage_escape import Ground, Liar, bytes_of, lying

PATH: Final = "results/run/out.bin"
_LARGE: Final = 60_000  # some 6 MB
Case = Callable[[Ground], Awaitable[list[str]]]


def _liar(*paths: str, hold: bool = False, times: int = 1) -> Liar:
    liar = Liar(hold=hold, times=times)
    liar.list_files(paths or [PATH])
    return liar


def _expect(report: TransferReport, *states: OutcomeState, unsafe: bool = False) -> list[str]:
    found = [outcome.state for outcome in report.outcomes]
    wrong = [] if sorted(found) == sorted(states) else [f"ended {found}, not {states}: {report.outcomes!r}"]
    if unsafe and not all(isinstance(outcome.error, UnsafePathError) for outcome in report.failed):
        wrong.append(f"failed, but not for the link: {report.failed!r}")
    return wrong


async def at_the_target(ground: Ground, *, points_to: str, overwrite: str) -> list[str]:
    """A link at the final name is replaced or left alone, never written through."""
    (ground.dest / "out.bin").symlink_to(points_to)
    async with lying(_liar("out.bin")) as em:
        report = await em.downlink(["out.bin"], into=ground.dest, overwrite=overwrite)  # type: ignore[arg-type]
    replaced = overwrite == "replace"
    state = {"replace": OutcomeState.DONE, "skip": OutcomeState.SKIPPED, "error": OutcomeState.FAILED}[overwrite]
    right = {"out.bin": sha256(bytes_of("out.bin")) if replaced else f"-> {points_to}"}
    wrong = [] if tree(ground.dest) == right else [f"the destination holds {tree(ground.dest)!r}"]
    return wrong + _expect(report, state) + ground.outside()


async def above_the_target(ground: Ground, *, at: str, points_to: str) -> list[str]:
    """A link in the place of a folder is refused."""
    link = ground.dest / at
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(points_to)
    async with lying(_liar()) as em:
        report = await em.downlink(["results"], into=ground.dest)
    return _expect(report, OutcomeState.FAILED, unsafe=True) + ground.outside()


async def at_the_temporary_name(ground: Ground) -> list[str]:
    """A link at a temporary name that was guessed is not opened, and not taken for a file of ours."""
    planted = ground.dest / "results" / "run" / f".emasync-{'0' * 16}.part"
    planted.parent.mkdir(parents=True)
    planted.symlink_to(ground.out / "canary")
    with patch("emasync.disk.atomic_file.secrets.token_hex", return_value="0" * 16):
        async with lying(_liar()) as em:
            report = await em.downlink(["results"], into=ground.dest)
    wrong = [] if planted.is_symlink() else ["the planted link is gone"]
    return wrong + _expect(report, OutcomeState.FAILED, unsafe=True) + ground.outside()


async def swapped_meanwhile(ground: Ground, *, at: str, points_to: str, times: int) -> list[str]:
    """While half of the answer is in, a folder on the way, or the destination itself, is swapped for a link.

    `times` large: half of the file is on disk already. Small: nothing of it is, but the folders are there.
    """
    liar = _liar(hold=True, times=times)
    victim = ground.dest / at
    (ground.dest / PATH).parent.mkdir(parents=True)
    async with lying(liar) as em, em.downlink(["results"], into=ground.dest) as transfer:
        await liar.half.wait()
        while times > 1 and not list(ground.dest.rglob(".emasync-*.part")):
            await asyncio.sleep(0.001)  # nobody tells when the first bytes are on disk; the test's time limit ends it
        victim.rename(ground.folder / "dest-moved" if victim == ground.dest else ground.dest / "moved")
        victim.symlink_to(points_to)
        ground.settle()
        liar.go.set()
        ended = [outcome async for outcome in transfer]
    wrong = [] if [one.state for one in ended] == [OutcomeState.FAILED] else [f"ended {ended!r}"]
    if not all(isinstance(one.error, UnsafePathError) for one in ended):
        wrong.append(f"failed, but not for the swap: {ended!r}")
    left = [str(path) for path in ground.folder.rglob(".emasync-*")]
    gone = re.compile(r"I4 'dest-moved/.*\.part' was removed")  # our temporary file
    moved = [one for one in ground.outside() if not gone.fullmatch(one)]
    return wrong + [f"I8 {path} is left" for path in left] + moved


async def beside_a_dead_file_elsewhere(ground: Ground) -> list[str]:
    """A folder is a link to a place where another emasync was killed: what lies there is not swept."""
    dead = ground.out / "run" / ".emasync-0123456789abcdef.part"
    dead.write_text("of somebody else")

    os.utime(dead, (1.0, 1.0))
    (ground.dest / "results").symlink_to(ground.out)
    ground.settle()
    async with lying(_liar()) as em:
        report = await em.downlink(["results"], into=ground.dest)
    return _expect(report, OutcomeState.FAILED, unsafe=True) + ground.outside()


async def deleting_through(ground: Ground, *, at: str, points_to: str) -> list[str]:
    """A sync that deletes what only the destination has removes nothing behind a link."""
    link = ground.dest / at
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(points_to)
    async with lying(_liar("box/out.bin")) as em:
        report = await em.sync_down("box", ground.dest, delete=True)
    wrong = [
        f"lied: {outcome!r}"
        for outcome in report.done
        if outcome.local != ground.dest / "out.bin" and outcome.local.exists()
    ]
    return wrong + ground.outside()


async def deleting_swapped(ground: Ground, *, at: str, points_to: str) -> list[str]:
    """What a sync is to delete was found in a folder that becomes a link while files still come: nothing behind the
    link is removed or made, although the same names are there."""
    liar = Liar(hold=True, times=_LARGE)
    liar.list_files(["box/out.bin"])
    for place in (ground.dest / "old/run", ground.out / "run", ground.out / "old/run"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "canary").write_text("only here")
    victim = ground.dest / at
    async with lying(liar) as em, em.sync_down("box", ground.dest, delete=True) as transfer:
        await liar.half.wait()
        while not list(ground.dest.rglob(".emasync-*.part")):
            await asyncio.sleep(0.001)  # as in `swapped_meanwhile`
        victim.rename(ground.folder / "moved")
        victim.symlink_to(points_to)
        ground.settle()
        liar.go.set()
        ended = {str(outcome.path): outcome async for outcome in transfer}
    doomed = ended.get("box/old/run/canary")
    wrong = [] if doomed is not None and doomed.state is not OutcomeState.DONE else [f"ended {ended!r}"]
    gone = re.compile(r"I4 'moved/.*\.part' was removed")  # our temporary file
    return wrong + [one for one in ground.outside() if not gone.fullmatch(one)]


async def resumed_behind(ground: Ground) -> list[str]:
    """A run is taken up after its folder went elsewhere and a link took its place."""
    journal = ground.folder.parent / f"{ground.folder.name}.journal"
    async with lying(_liar(PATH, "results/other.bin")) as em:
        first = await em.downlink(["results"], into=ground.dest, journal=journal)
        (ground.dest / "results").rename(ground.out / "results")
        (ground.dest / "results").symlink_to(ground.out / "results")
        (ground.out / "results" / "other.bin").unlink()
        ground.settle()
        await em.downlink(["results"], into=ground.dest, journal=journal)
    return _expect(first, OutcomeState.DONE, OutcomeState.DONE) + ground.outside()


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for overwrite in ("replace", "skip", "error"):
        for points_to in ("../outside/canary", "../outside/new", "/nowhere/at/all", "out.bin"):
            run = partial(at_the_target, points_to=points_to, overwrite=overwrite)
            cases[f"at the target, to {points_to}, {overwrite}"] = run
    for at, points_to in (
        ("results", "../outside"),
        ("results/run", "../../outside/run"),
        ("results/run", "../../outside/new"),
        ("results", "."),
        ("results", "results"),
    ):
        cases[f"{at} is a link to {points_to}"] = partial(above_the_target, at=at, points_to=points_to)
    cases["at the temporary name"] = at_the_temporary_name
    for at, points_to in (
        ("results", "../outside"),
        ("results/run", "../../outside/run"),
        ("results/run", "../../outside/new"),
        ("results/run", "../moved"),
        ("", "outside"),
    ):
        for kind, times in (("small", 1), ("large", _LARGE)):
            if at or times > 1:  # of a small file nothing is saved yet: the destination is what it is by then
                name = f"{at or 'the destination'} becomes {points_to} under a {kind} file"
                cases[name] = partial(swapped_meanwhile, at=at, points_to=points_to, times=times)
    cases["a dead file behind a link"] = beside_a_dead_file_elsewhere
    for at, points_to in (
        ("link", "../outside"),
        ("a/b/link", "../../../outside"),
        ("canary", "../outside/canary"),
        ("link", "../outside/new"),
        ("link", ".."),
    ):
        cases[f"deleting through {at} to {points_to}"] = partial(deleting_through, at=at, points_to=points_to)
    for at, points_to in (
        ("old", "../outside"),
        ("old", "../outside/old"),
        ("old/run", "../../outside/run"),
        ("", "outside"),
    ):
        cases[f"{at or 'the destination'} becomes {points_to} before a deletion"] = partial(
            deleting_swapped, at=at, points_to=points_to
        )
    cases["resumed behind a link"] = resumed_behind
    return cases


CASES: Final[Mapping[str, Case]] = _cases()
