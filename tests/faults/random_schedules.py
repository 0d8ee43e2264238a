"""Random schedules: operations on a volume and a folder that others change between any two calls, with an oracle.

Owns: how a schedule is carried out. ``python -m tests.faults.random_schedules --seed N [--only NUMBER]``
repeats one and prints its trace. Uses the public API of emasync only; knows neither pytest nor the torture's table.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import anyio

from emasync import Client, RetryPolicy, Settings, TransferReport
from tests.faults.random_drawing import RandomSchedule, Step, drawn
from tests.faults.random_em import RandomEM, Volume
from tests.faults.random_events import Contents, LocalFolder, RandomScript, Temper
from tests.faults.random_history import History, below
from tests.faults.random_oracle import Ended, Finding, Kind, Operation, differences, judge, misled
from tests.faults.schedules import swift

_PASSWORD: Final = "canary-pass/word+1"
_CONSENT: Final = "allow_empty_source"
_TRACES: Final = 3
_TURNS: Final = 30  # of the event loop, within which the server has read what was sent to it
_BY_TAG: Final = (Kind.TAG_RULE, Kind.FALSE_SKIP, Kind.JOURNAL, Kind.LOST_CHANGE)
"""What cannot be kept where the tags of the server are of no use."""


@dataclass(slots=True, kw_only=True)
class Sum:
    """What schedules came to. `apart`: findings where a listing lagged, or where no client could know better."""

    tries: int = 0
    faults: int = 0
    outcomes: int = 0
    deletions: int = 0
    raced_deletions: int = 0
    found: list[tuple[str, Finding]] = field(default_factory=list)
    lagging: list[Finding] = field(default_factory=list)
    apart: list[Finding] = field(default_factory=list)
    first: dict[Kind, int] = field(default_factory=dict)
    """After how many schedules a kind was found first."""
    traces: list[str] = field(default_factory=list)
    """What happened in the first few schedules in which anything was found."""

    def add(self, schedule: RandomSchedule, result: Result) -> None:
        """One more schedule."""
        self.tries += 1
        self.faults += result.struck
        self.outcomes += result.outcomes
        self.deletions += result.deletions
        self.raced_deletions += result.raced_deletions
        self.found += [(schedule.label, finding) for finding in result.found]
        self.lagging += result.lagging
        self.apart += result.apart
        for finding in result.found:
            self.first.setdefault(finding.kind, self.tries)
        if result.found and len(self.traces) < _TRACES:
            lines = [
                str(schedule),
                *result.trace,
                *(f"FOUND {finding}" for finding in result.found),
                repeat(schedule.label),
            ]
            self.traces.append("\n".join(lines))

    def kinds(self) -> Counter[Kind]:
        """How often each kind was found."""
        return Counter(one.kind for _, one in self.found)


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of one schedule."""

    found: list[Finding] = field(default_factory=list)
    lagging: list[Finding] = field(default_factory=list)
    apart: list[Finding] = field(default_factory=list)
    struck: int = 0
    outcomes: int = 0
    deletions: int = 0
    raced_deletions: int = 0
    trace: list[str] = field(default_factory=list)


def repeat(label: str) -> str:
    """The command that carries out the schedule of this label again, and prints its trace."""
    seed, _, number = label.partition("/")
    return f"python -m tests.faults.random_schedules --seed {seed} --only {number}"


async def carry_out(schedule: RandomSchedule, em: RandomEM, folder: Path) -> Result:
    """Run it in the empty `folder`; to be called inside `at_once()`."""
    case = _Case(schedule, em, folder)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(case.client())
        for step in schedule.steps:
            if step.fresh:
                await stack.aclose()
                client = await stack.enter_async_context(case.client())
            await case.step(client, step)
        await case.quiet(client)
    return case.result()


class _Case:
    """A schedule under way."""

    def __init__(self, schedule: RandomSchedule, em: RandomEM, folder: Path) -> None:
        self._schedule, self._em, self._folder = schedule, em, folder
        self._history = History()
        self._volume = Volume(self._history, folders=frozenset({schedule.prefix} - {""}))
        self._local = LocalFolder(folder / "here", self._history)
        self._local.root.mkdir(parents=True)
        self._script = RandomScript(schedule.label, self._history, self._volume, self._local, _later())
        self._outside = {"other/z": b"untouched", "dz": b"untouched"} if schedule.prefix else {}
        for path, data in (*schedule.remote, *self._outside.items()):
            self._volume.write(path, data, "start")
        for path, data in schedule.local:
            self._local.write(path, data, "start")
        em.set_up(
            self._volume,
            self._history,
            self._script,
            form=schedule.form,
            tags=schedule.tags,
            missing=schedule.missing,
        )
        self._result = Result()
        self._raw: list[Finding] = []

    def client(self) -> Client:
        """A new client of the same user on the same machine."""
        settings = Settings(
            retry=RetryPolicy(base_s=0.0002, cap_s=0.001),
            durable=False,
            state_dir=self._folder / "state" if self._schedule.memory else None,
        )
        return Client(self._em.url, username="client1", password=_PASSWORD, settings=settings)

    async def step(self, client: Client, step: Step) -> None:
        """One operation under its events, and what the oracle says of it."""
        await self._judged(client, step)
        await self._script.calm()

    async def quiet(self, client: Client) -> None:
        """The last operation once more when nothing happens any more: now both sides become equal."""
        last = self._schedule.steps[-1]
        operation = replace(last.operation, prefix=self._schedule.prefix, dry_run=False, max_delete=None, consent=True)
        self._history.note("-- all events are over --")
        step = Step(operation=operation, temper=Temper(), fresh=False, workers=1)
        ended = await self._judged(client, step)
        if not (operation.delete or self._source(operation)):
            return  # nothing to move: an error is as good as a report of nothing
        if ended.report is None or not ended.report.ok:
            bad = (*ended.report.failed, *ended.report.unknown) if ended.report is not None else ()
            ends = [f"{one.path}: {one.state} {one.error or one.reason}" for one in bad]
            self._raw.append(
                Finding(kind=Kind.LOST_CHANGE, path=operation.prefix, text=f"did not settle: {ended.error!r} {ends}")
            )
        else:
            self._raw += differences(operation, self._history)

    def _source(self, operation: Operation) -> dict[str, bytes]:
        files = self._history.tree(operation.source, self._history.now)
        return {path: data for path, data in files.items() if operation.up or below(path, operation.prefix)}

    async def _judged(self, client: Client, step: Step) -> Ended:
        operation = step.operation
        self._history.note(f"-- {operation} --")
        begin = self._history.tick()
        report, error = None, None
        with anyio.CancelScope() as scope:
            self._script.begin(step.temper, self._schedule.prefix, scope.cancel)
            try:
                report = await self._call(client, step)
            except Exception as failure:  # noqa: BLE001 - judged below
                error = failure
        for _ in range(_TURNS if scope.cancelled_caught else 0):
            await asyncio.sleep(0)  # what had left before the cancellation arrives
        self._local.observe()
        ended = Ended(operation=operation, begin=begin, end=self._history.tick(), report=report, error=error)
        self._tell(ended)
        verdict = judge(ended, self._history)
        self._raw += verdict.findings
        self._raw += self._around(ended)
        self._result.deletions += verdict.deletions
        self._result.raced_deletions += verdict.raced_deletions
        return ended

    async def _call(self, client: Client, step: Step) -> TransferReport:
        operation, root = step.operation, self._local.root
        journal = self._folder / "journal.db" if self._schedule.journal else None
        common: dict[str, Any] = {"journal": journal, "workers": step.workers}
        if operation.way == "downlink":
            return await client.downlink([f"{operation.prefix}/"], into=root, **common)
        if operation.way == "uplink":
            return await client.uplink([f"{root}/"], dest=operation.prefix, **common)
        common |= {"delete": operation.delete, "dry_run": operation.dry_run, "max_delete": operation.max_delete}
        if operation.consent and _CONSENT in inspect.signature(client.sync_up).parameters:
            common[_CONSENT] = True
        if operation.way == "sync_up":
            return await client.sync_up(root, operation.prefix, **common)
        return await client.sync_down(operation.prefix, root, **common)

    def _tell(self, ended: Ended) -> None:
        if ended.report is None:
            self._history.note(f"  raised {ended.error!r}" if ended.error else "  was cancelled")
            return
        self._result.outcomes += len(ended.report.outcomes)
        for outcome in ended.report.outcomes:
            why = outcome.error or outcome.reason or ""
            self._history.note(f"  => {outcome.path}: {outcome.state} {outcome.verified} {why}")

    def _around(self, ended: Ended) -> list[Finding]:
        """What is neither in a report nor a version of a file."""
        found: list[Finding] = []
        error = ended.error
        if error is not None and not type(error).__module__.startswith("emasync") and not self._misuse(ended):
            found.append(Finding(kind=Kind.RAISED, path=ended.operation.prefix, text=repr(error)))
        found += [Finding(kind=Kind.RESIDUE, path=name) for name in self._local.left_behind()]
        found += [Finding(kind=Kind.RAISED, path="the server of the test", text=slip) for slip in self._em.slips]
        self._em.slips.clear()
        return found

    def _misuse(self, ended: Ended) -> bool:
        """A file, or nothing, where a folder is meant may be answered with what misuse is answered with."""
        prefix = ended.operation.prefix
        folder = any(below(path, prefix) for path in self._history.tree("remote", ended.begin))
        return not folder and isinstance(ended.error, ValueError | NotADirectoryError | FileNotFoundError)

    def result(self) -> Result:
        """All findings, sorted by whether a client could have known better."""
        result, schedule = self._result, self._schedule
        result.struck, result.trace = self._history.struck, self._history.trace
        alike = schedule.tags != "known" or len(misled(self._history)) > 1
        for one in dict.fromkeys(self._raw):
            if schedule.lagging and one.kind not in (Kind.WRONG_BYTES, Kind.OUTSIDE, Kind.RAISED, Kind.RESIDUE):
                result.lagging.append(one)
            elif alike and one.kind in _BY_TAG:
                result.apart.append(one)
            else:
                result.found.append(one)
        return result


def _later() -> Contents:
    """Contents that no start of a schedule has."""
    contents = Contents()
    for _ in range(100):
        contents.new(4)
    return contents


@asynccontextmanager
async def at_once() -> AsyncIterator[RandomEM]:
    """The server for any number of schedules, and clients that look and ask again after a millisecond."""
    with swift(looks_s=(0.0, 0.001, 0.003)):
        async with RandomEM().serve() as em:
            yield em


async def series(seed: int, numbers: Sequence[int], folder: Path, into: Sum) -> None:
    """The schedules of these numbers, one after the other; to `into`, with a trace of each that failed."""
    async with at_once() as em:
        for number in numbers:
            schedule, place = drawn(seed, number), folder / f"{seed}-{number}"
            with anyio.fail_after(30.0):
                result = await carry_out(schedule, em, place)
            into.add(schedule, result)
            shutil.rmtree(place, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Repeat schedules; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.random_schedules")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--only", type=int, help="this schedule alone, with its trace")
    parser.add_argument("--count", type=int, default=625)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="schedules-") as name:
        if args.only is not None:
            return anyio.run(_one, args.seed, args.only, Path(name))
        total = Sum()
        anyio.run(series, args.seed, range(args.count), Path(name), total)
    sys.stdout.writelines(f"{trace}\n\n" for trace in total.traces)
    sys.stdout.writelines(f"{label}: {one}\n" for label, one in total.found)
    sys.stdout.write(f"{describe(total)}\n")
    return 1 if total.found else 0


async def _one(seed: int, number: int, folder: Path) -> int:
    schedule = drawn(seed, number)
    async with at_once() as em:
        result = await carry_out(schedule, em, folder / "case")
    sys.stdout.write("\n".join([str(schedule), *result.trace, *map(str, result.found)]) + "\n")
    sys.stdout.writelines(f"apart: {one}\n" for one in (*result.lagging, *result.apart))
    return 1 if result.found else 0


def describe(total: Sum) -> str:
    """The sums in words."""
    kinds = "; ".join(
        f"{count} {kind} (first in schedule {total.first[kind]})" for kind, count in total.kinds().items()
    )
    return (
        f"{total.tries:,} schedules, {total.faults:,} events, {total.outcomes:,} outcomes, "
        f"{total.deletions:,} deletions ({total.raced_deletions} of files that changed after the last listing); "
        f"apart: {len(total.lagging)} under lagging listings, {len(total.apart)} that no client could tell; "
        f"found: {kinds or 'nothing'}"
    )


if __name__ == "__main__":
    sys.exit(main())
