"""Any schedule of faults: drawn by chance, carried out against the simulator, judged by the independent checker.

Owns: which faults may be drawn, what a transfer must come to under them, and how often a file may be sent.
May import emasync, its simulator and the checker. Knows neither pytest nor the torture's table.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal
from unittest.mock import patch

from emasync import Client, Outcome, RetryPolicy, Settings, TransferReport
from emasync.http.limiter.aimd import LimiterConfig
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.simulator import Fault, FaultKind, LoggedRequest, Simulator
from emasync.transfer.events import Event, Retrying, Settled
from tests.faults.checker import Run, changed, sha256, snapshot, storm, tree, violations

Way = Literal["up", "down"]

UP, DOWN, LIST, LOGIN = "em/files/uplink", "em/files/downlink", "em/files/list", "auth/"
_USERS: Final = {"client1": "canary-pass/word+1"}
_SWIFT: Final = Settings(retry=RetryPolicy(base_s=0.001, cap_s=0.01), durable=False, state_dir=None)

_BUSY: Final[tuple[FaultKind, ...]] = ("busy_before", "busy_during", "busy_after", "retry_after")
_TOKEN: Final[tuple[FaultKind, ...]] = ("unauthorized_before", "unauthorized_after_body")
_ANYWHERE: Final[tuple[FaultKind, ...]] = ("error_500", "html_502", "html_200", "reset")
_BREAKS: Final[Mapping[str, tuple[FaultKind, ...]]] = {
    UP: (*_ANYWHERE, "commit_then_drop", "drop_files", "truncate_store", "early_answer"),
    DOWN: (*_ANYWHERE, "cut_body", "corrupt_body", "wrong_hash", "wrong_size"),
    LIST: (*_ANYWHERE, "commit_then_drop", "cut_body", "wrong_hash", "wrong_size"),
    LOGIN: ("error_500", "html_502", "retry_after"),
}
_LIES: Final = ("wrong_hash", "wrong_size")
_READ_FOR_PROOF: Final = 4  # files of a listing that an uplink reads at most, to find out how tags are computed
_STORED: Final = ("commit_then_drop",)  # the work was done: no reason to send again


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One case. `tame`: its faults stay within every budget of the retry table, so each file must be done at once. The
    others only have to tell the truth, and to be finished by the same call when the EM is well again."""

    seed: int
    way: Way
    tame: bool
    files: Mapping[str, bytes] = field(repr=False)
    faults: tuple[Fault, ...]
    options: Mapping[str, Any]
    workers: int
    journal: bool

    def __str__(self) -> str:
        """Enough to see what it is about; `drawn` of its number makes it again."""
        faults = ", ".join(f"{fault.kind} at {fault.endpoint}" for fault in self.faults) or "no faults"
        return f"tests.faults.schedules.drawn({self.seed}), {self.way}, {dict(self.options)}, {faults}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a schedule: violations in words, faults that struck, files not there or wrong at its end."""

    found: tuple[str, ...]
    faults: int
    lost: int
    wrong: int
    spare: int  # sendings more than were needed


def drawn(seed: int) -> Schedule:
    """The schedule of that number, always the same."""
    rng = random.Random(seed)
    way: Way = rng.choice(("up", "down"))
    tame = rng.random() < 0.7
    raw = rng.random() < 0.4
    generation = "seed" if not raw else rng.choice(("pods", "pvc"))
    options: dict[str, Any] = {"generation": generation, "buffering": rng.random() < 0.2}
    if rng.random() < 0.3:
        options |= {"exclusive": True, "hold": rng.choice((0.0, 0.002))}
    if way == "up" and rng.random() < 0.25:
        options["list_lag"] = rng.choice((0.01, 0.03))
    if not raw and rng.random() < 0.5:
        options["envelope"] = tuple(rng.sample(("filename", "content", "size", "hash"), 4))
    files = {
        f"{rng.choice(('', 'a/', 'b c/'))}f{number}.bin": rng.randbytes(rng.choice((0, 1, 100, 5_000, 70_000)))
        for number in range(rng.randrange(1, 10))
    }
    return Schedule(
        seed=seed,
        way=way,
        tame=tame,
        files=files,
        faults=tuple(_tame(rng, way) if tame else _wild(rng, way, raw=raw)),
        options=options,
        workers=rng.choice((1, 2, 8)),
        journal=rng.random() < 0.4,
    )


def _tame(rng: random.Random, way: Way) -> Iterator[Fault]:
    """At most two breaks of an endpoint (one uplink that fails over with 500: a second is its file's end), one lying
    listing, one refused token, a few refusals for being busy."""
    moving = UP if way == "up" else DOWN
    false = (*_LIES, "corrupt_body")
    lied = failed = False
    for endpoint in (moving, LIST):
        for _ in range(rng.randrange(3)):
            # The same wrong value twice is believed (see FileDownlink._entry_again), and raw bytes are compared with a
            # listing only: where both are wrong, a file may fail.
            kind = rng.choice([one for one in _BREAKS[endpoint] if not lied or one not in false])
            lied = lied or kind in false
            if (endpoint, kind) == (UP, "error_500"):
                kind, failed = "html_502" if failed else kind, True
            yield _fault(rng, kind, endpoint)
    if rng.random() < 0.3:
        yield _fault(rng, rng.choice(_TOKEN), rng.choice((moving, LIST)))
    if rng.random() < 0.5:
        yield _fault(rng, rng.choice(_BUSY), rng.choice((moving, LIST, None)), times=rng.randrange(1, 4))
    if rng.random() < 0.15:
        yield _fault(rng, rng.choice(_BREAKS[LOGIN]), LOGIN, after=0)


def _wild(rng: random.Random, way: Way, *, raw: bool) -> Iterator[Fault]:
    """Any number of anything, but for what no client could see through: the same false bytes twice, and nothing said
    against them."""
    for _ in range(rng.randrange(1, 5)):
        endpoint = rng.choice((UP if way == "up" else DOWN, LIST, LOGIN))
        kind = rng.choice((*_BREAKS[endpoint], *_BUSY[:2], *(() if endpoint == LOGIN else (*_TOKEN, "redirect"))))
        once = kind == "corrupt_body" and raw
        yield _fault(
            rng,
            kind,
            endpoint,
            times=1 if once else rng.choice((1, 3, 5)),
            every=rng.choice((1, 1, 2, 3)),
            probability=rng.choice((1.0, 0.5)),
        )


def _fault(
    rng: random.Random,
    kind: FaultKind,
    endpoint: str | None,
    *,
    times: int = 1,
    after: int | None = None,
    every: int = 1,
    probability: float = 1.0,
) -> Fault:
    moves = endpoint in (UP, DOWN)
    at = rng.choice((None, 0, 1, 50, 400, 3_000)) if kind in ("cut_body", "busy_during", "reset") else None
    if kind == "reset" and endpoint != UP:
        at = None  # there is no body to stop in
    return Fault(
        kind,
        endpoint=endpoint,
        times=times,
        after=(rng.choice((0, 0, 1, 2)) if moves else rng.choice((0, 0, 0, 1))) if after is None else after,
        every=every,
        probability=probability,
        at=at,
        seconds=0.01,
        count=rng.randrange(1, 3),
        status=rng.choice((429, 503)),
        claim_full=rng.random() < 0.5,
        hard=rng.random() < 0.3,
    )


@contextmanager
def swift(*, looks_s: tuple[float, ...] = (0.0, 0.02, 0.1)) -> Iterator[None]:
    """Look at listings, and ask a busy EM again, after milliseconds: the order of things stays as it is."""
    limiter = partial(ConcurrencyLimiter, config=LimiterConfig(backoff_base_s=0.002, backoff_cap_s=0.02, ramp_s=0.002))
    with ExitStack() as stack:
        stack.enter_context(patch("emasync.transfer.uplink._LISTING_DELAYS_S", looks_s))
        stack.enter_context(patch("emasync.client.ConcurrencyLimiter", limiter))
        yield


async def carry_out(schedule: Schedule, folder: Path) -> Verdict:
    """Run it in the empty `folder`; to be called inside `swift()`."""
    source, into = folder / "source", folder / "into"
    into.mkdir(parents=True)
    settings = _SWIFT
    async with Simulator(
        _USERS, faults=schedule.faults, seed=schedule.seed, root=folder / "em", **schedule.options
    ) as sim:
        volume = sim.volume("client1")
        _write(source if schedule.way == "up" else volume / "d", schedule.files)
        case = _Case(schedule, sim, folder / "journal.db" if schedule.journal else None, source=source, into=into)
        async with Client(sim.url, username="client1", password=_USERS["client1"], settings=settings) as em:
            report = await case.first(em)
            log = list(sim.requests)
            sim.faults.clear()
            if report is None or not report.ok:
                await case.again(em)
        spare = _spare(log, schedule)
        struck = sum(request.fault is not None for request in log)
        if schedule.tame and report is not None:
            allowed = _doubtful(schedule)
            case.found += [f"moved {n} times more than needed: {name}" for name, n in spare.items() if n > allowed]
            case.found += _stormy(log, report, schedule, struck)
        lost, wrong = case.harm()
    told = tuple(f"{schedule}: {finding}" for finding in case.found)
    return Verdict(found=told, faults=struck, lost=lost, wrong=wrong, spare=sum(spare.values()))


class _Case:
    """A schedule under way, and what is found against it."""

    def __init__(self, schedule: Schedule, sim: Simulator, journal: Path | None, *, source: Path, into: Path) -> None:
        self.found: list[str] = []
        self._told: list[Outcome] | None = None
        self._schedule = schedule
        self._journal = journal
        self._source, self._into = source, into
        up = schedule.way == "up"
        self._landed = sim.volume("client1") if up else into
        self._origin = source if up else sim.volume("client1")
        self._as_it_was = snapshot(self._origin)
        self._wanted = {f"d/{name}" if up else name: sha256(data) for name, data in schedule.files.items()}

    async def first(self, em: Client) -> TransferReport | None:
        """The transfer under faults; None where the whole of it could not be."""
        try:
            report = await self._transfer(em)
        except Exception as error:  # noqa: BLE001 -- of a tame schedule none may come, of a wild one only ours
            if self._schedule.tame or not _ours(error):
                self.found.append(f"raised {error!r}")
            return None
        self._check(report)
        if self._schedule.tame and len(report.done) != len(self._wanted):
            ends = [f"{outcome.path}: {outcome.state} {outcome.error or outcome.reason}" for outcome in report.outcomes]
            self.found.append(f"not all done: {'; '.join(ends)}")
        return report

    async def again(self, em: Client) -> None:
        """The same call when the EM is well: all that was not done is done now."""
        try:
            report = await self._transfer(em)
        except Exception as error:  # noqa: BLE001 -- nothing is wrong any more: whatever it is, it is a finding
            self.found.append(f"the EM was well again, and it raised {error!r}")
            return
        self._check(report)
        if not report.ok:
            ends = [
                f"{outcome.path}: {outcome.state} {outcome.error or outcome.reason}"
                for outcome in (*report.failed, *report.unknown)
            ]
            self.found.append(f"the EM was well again, and not all was done: {'; '.join(ends)}")

    def harm(self) -> tuple[int, int]:
        """How many files are not there at the end, and how many are others."""
        there = tree(self._landed)
        lost = sum(name not in there for name in self._wanted)
        return lost, sum(there[name] != self._wanted.get(name) for name in there)

    def _check(self, report: TransferReport) -> None:
        run = Run(
            direction=self._schedule.way,
            wanted=self._wanted,
            destination=self._landed,
            report=report,
            rows=self._journal,
            ended_ok=report.ok,
            told=self._told,
        )
        self.found += violations(run)
        self.found += changed(self._as_it_was, snapshot(self._origin))  # what is moved stays as it is

    async def _transfer(self, em: Client) -> TransferReport:
        workers, journal = self._schedule.workers, self._journal
        told: list[Outcome] = []

        def hear(event: Event) -> None:
            if isinstance(event, Settled):
                told.append(event.outcome)
            elif isinstance(event, Retrying) and self._schedule.way == "down":
                self._none_in_place(event)

        on_event = hear if self._schedule.seed % 4 != 2 else None  # without, less is done for each file
        self._told = told if on_event is not None else None
        if self._schedule.way == "up":
            return await em.uplink(f"{self._source}/", dest="d", workers=workers, journal=journal, on_event=on_event)
        return await em.downlink("d/", into=self._into, workers=workers, journal=journal, on_event=on_event)

    def _none_in_place(self, event: Retrying) -> None:
        """What is asked for again was false, or nothing: it may not have got its final name meanwhile."""
        there = tree(self._into)
        for name in (path.removeprefix("d/") for path in event.paths):
            if name in there and there[name] != self._wanted[name]:
                self.found.append(f"I1 {name!r} was put in place with false bytes, and is asked for again")


def _ours(error: Exception) -> bool:
    return type(error).__module__ == "emasync.errors"


def _stormy(log: list[LoggedRequest], report: TransferReport, schedule: Schedule, struck: int) -> list[str]:
    """I7, but for the pace of probes, which `swift` has changed."""
    items = len(report.outcomes) if schedule.way == "down" else max(1, len({_folder(name) for name in schedule.files}))
    moving = log if schedule.way == "down" else [request for request in log if request.path != DOWN]
    found = [item for item in storm(moving, items=items, budget=struck + 1) if "probes" not in item]
    reads, lists = len(log) - len(moving), sum(request.path == LIST for request in log)
    if reads > _READ_FOR_PROOF * lists + struck:
        found.append(f"I7 {reads} files were read for proof, with {lists} listings")
    return found


def _doubtful(schedule: Schedule) -> bool:
    """Whether a listing lies or lags: then, and only then, a file may be moved once in vain."""
    return "list_lag" in schedule.options or any(
        fault.kind in _LIES and fault.endpoint == LIST for fault in schedule.faults
    )


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _spare(log: list[LoggedRequest], schedule: Schedule) -> Counter[str]:
    """How often each file was moved beyond need: once is needed, and once more for each time it came to nothing."""
    moved: Counter[str] = Counter()
    needed: Counter[str] = Counter(dict.fromkeys(schedule.files, 1))
    for request in log:
        for name in _sent(request) if schedule.way == "up" else _asked(request):
            moved[name] += 1
            needed[name] += _in_vain(request, name)
        if schedule.way == "down" and request.path == LIST and request.fault in _LIES:
            needed.update(list(schedule.files))  # what came is not what was listed: asked for once more
    return Counter({name: moved[name] - needed[name] for name in moved if moved[name] > needed[name]})


def _sent(one: LoggedRequest) -> list[str]:
    if one.path != UP:
        return []
    folder = str(one.detail.get("dest_path", "")).removeprefix("d").strip("/")
    return [f"{folder}/{name}".lstrip("/") for name in one.detail.get("files", [])]


def _asked(one: LoggedRequest) -> list[str]:
    asked = str(one.detail.get("filepath", one.query.get("filepath", "")))
    return [asked.strip("/").removeprefix("d/")] if one.path == DOWN else []


def _in_vain(one: LoggedRequest, name: str) -> bool:
    """Whether this request came to nothing for `name`, by what was done to it."""
    if one.status in (401, 423):
        return True
    if one.fault in ("drop_files", "truncate_store"):
        return True
    return one.fault is not None and one.fault not in _STORED


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
