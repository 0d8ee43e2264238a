"""The run of a transfer: bandwidth, deadline, the order of events, and that each file settles exactly once."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from emasync import OutcomeState, Settings, TimedOutError
from emasync.simulator import Fault, FaultKind, Simulator
from emasync.simulator.config import ENVELOPE
from emasync.transfer.events import Confirmed, Event, Forwarding, Planned, Progress, Settled, Started
from tests.contract.stage import USERS, calls, connect, some_bytes
from tests.engine.truth_stage import SWIFT, assert_nothing_is_left, before, hashes, many, times_sent

UPLINK, DOWNLINK, LIST = "em/files/uplink", "em/files/downlink", "em/files/list"


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait seconds for a listing that may lag: the simulator's does not."""
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.005))


# Sabotage: a BandwidthLimit per file instead of one for the client: four files at once are four times as fast.
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_bandwidth_limit_holds_for_all_files_together(tmp_path: Path, direction: str) -> None:
    source = many(tmp_path / "source", 8, size=50_000, parts=4)
    settings = Settings(durable=False, state_dir=None, uplink_rate=400_000, downlink_rate=400_000)
    async with Simulator(USERS) as sim, connect(sim, settings=settings) as em:
        many(sim.volume("client1") / "d", 8, size=50_000, parts=4)
        began = time.monotonic()
        if direction == "up":
            report = await em.uplink(f"{source}/", dest="d", workers=4)
        else:
            report = await em.downlink("d/", into=tmp_path / "back", workers=4)
        assert len(report.done) == 8
        # 400 kB at 400 kB/s, a quarter of a second's worth at once; slower by any machine's mood, never faster.
        assert time.monotonic() - began >= 0.7


# Sabotage: abandon without asking what was sent: a file that may be on the EM counts as failed.
async def test_after_a_deadline_what_was_sent_is_unknown_and_the_rest_has_failed(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 30, parts=10)
    was = before()
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        sim.breakpoint(UPLINK, at="answer")
        report = await em.uplink(f"{source}/", dest="d", workers=2, deadline=0.5)
        assert Counter(one.state for one in report.outcomes) == {OutcomeState.UNKNOWN: 6, OutcomeState.FAILED: 24}
        assert all("deadline" in str(one.error) for one in report.failed)
        assert {str(one.path) for one in report.unknown} == set(times_sent(sim))
    await assert_nothing_is_left(was, [tmp_path])


# Sabotage: tell the tracker of a call before its turn has come: files that never left count as unknown.
async def test_what_waited_for_its_turn_at_the_deadline_has_failed_for_it_never_left(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 40, parts=20)
    async with Simulator(USERS, exclusive=True) as sim, connect(sim, settings=SWIFT) as em:
        await em.files.list()
        sim.breakpoint(UPLINK, at="start")
        report = await em.uplink(f"{source}/", dest="d", workers=16, deadline=0.4)
        left = len(calls(sim, UPLINK))
        assert left < 16
        assert len(report.unknown) == 2 * left
        assert len(report.failed) == 40 - 2 * left


# Sabotage: abandon nothing where nothing was planned: an empty report that looks good.
async def test_a_deadline_before_anything_is_known_raises_and_is_no_empty_success(tmp_path: Path) -> None:
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        sim.breakpoint(LIST)
        with pytest.raises(TimedOutError, match="deadline"):
            await em.downlink("d/", into=tmp_path / "back", deadline=0.1)


# Sabotage: tell `Settled` before `Confirmed`, or `Started` after the first `Progress`.
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_events_of_each_file_come_in_order_and_settled_once(tmp_path: Path, direction: str) -> None:
    source = many(tmp_path / "source", 6, size=3000, parts=2)
    (source / "part-00" / "big.bin").write_bytes(some_bytes(3_000_000))
    events: list[Event] = []
    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        if direction == "up":
            report = await em.uplink(f"{source}/", dest="d", on_event=events.append)
        else:
            many(sim.volume("client1") / "d", 6, size=3000, parts=2)
            report = await em.downlink("d/", into=tmp_path / "back", on_event=events.append)
    assert report.ok
    assert isinstance(
        next(event for event in events if not type(event).__name__.startswith("ConcurrencyLimiter")), Planned
    )
    story: defaultdict[str, list[str]] = defaultdict(list)
    for event in events:
        if isinstance(event, Started | Progress | Confirmed):
            story[event.path].append(type(event).__name__)
        elif isinstance(event, Settled):
            story[event.outcome.path].append("Settled")
        elif isinstance(event, Forwarding):
            for path in event.paths:
                story[path].append("Forwarding")
    assert len(story) == len(report.outcomes)
    for told in story.values():
        middle = [name for name in told[1:-2] if name != "Progress"]
        assert told[0] == "Started"
        assert told[-2:] == ["Confirmed", "Settled"]
        assert told.count("Progress") >= 1
        assert middle == (["Forwarding"] if direction == "up" else [])


# Sabotage: forget `end.unsent` in `Uplink._take`: what stood behind the changed file in its call is never settled.
@pytest.mark.usefixtures("quick_looks")
async def test_a_source_that_changed_since_the_plan_fails_alone_and_those_beside_it_arrive(tmp_path: Path) -> None:
    source = many(tmp_path / "source", 9, size=1000)
    changed = source / "part-00" / "00004.bin"

    def on_event(event: Event) -> None:
        if isinstance(event, Planned):
            changed.write_bytes(b"another length")

    async with Simulator(USERS) as sim, connect(sim, settings=SWIFT) as em:
        report = await em.uplink(f"{source}/", dest="d", on_event=on_event)
        assert [str(one.path) for one in report.failed] == ["d/part-00/00004.bin"]
        assert len(report.done) == 8
        there = hashes(sim.volume("client1") / "d")
        assert there == {name: value for name, value in hashes(source).items() if name != "part-00/00004.bin"}


UP_KINDS: tuple[FaultKind, ...] = (
    "busy_before",
    "busy_after",
    "commit_then_drop",
    "unauthorized_before",
    "unauthorized_after_body",
    "error_500",
    "html_502",
    "html_200",
    "drop_files",
    "truncate_store",
    "reset",
    "cut_body",
)
DOWN_KINDS: tuple[FaultKind, ...] = (
    "busy_before",
    "cut_body",
    "corrupt_body",
    "wrong_hash",
    "wrong_size",
    "html_502",
    "reset",
)


def a_schedule(rng: random.Random, kinds: tuple[FaultKind, ...], endpoint: str) -> list[Fault]:
    """Up to four faults on early calls; no two alike, so that none keeps on hitting the same file."""
    chosen = rng.sample(kinds, rng.randint(1, 4))
    return [
        Fault(
            kind,
            endpoint=endpoint,
            after=rng.randint(0, 4),
            every=rng.randint(1, 3),
            at=rng.choice((None, 1, 700)) if kind == "reset" else None,
            count=rng.randint(1, 3),
            claim_full=rng.random() < 0.5,
            hard=rng.random() < 0.5,
        )
        for kind in chosen
    ]


def assert_each_settled_once(events: list[Event], expected: set[str]) -> None:
    settled = Counter(str(event.outcome.path) for event in events if isinstance(event, Settled))
    assert set(settled) == expected
    assert set(settled.values()) == {1}


# Sabotage: settle the doubtful ones as failed, or send again without a look: files are missing, failed, or sent more
# often than there were faults that could have spoiled them.
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.usefixtures("quick_looks")
async def test_whatever_goes_wrong_a_few_times_every_uplinked_file_is_there_in_the_end(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    count, parts = rng.randint(1, 60), rng.randint(1, 9)
    source = many(tmp_path / "source", count, size=rng.choice((0, 1, 300, 9000)), parts=parts)
    faults, events = a_schedule(rng, UP_KINDS, UPLINK), list[Event]()
    async with Simulator(USERS, faults=faults, seed=seed) as sim, connect(sim, settings=SWIFT) as em:
        report = await em.uplink(f"{source}/", dest="d", workers=rng.randint(1, 8), on_event=events.append)
        assert_each_settled_once(events, {f"d/{name}" for name in hashes(source)})
        assert report.ok, [(faults, one) for one in (*report.failed, *report.unknown)]
        assert len(report.outcomes) == len(report.done) == count
        assert hashes(sim.volume("client1") / "d") == hashes(source)
        struck = [entry for entry in calls(sim, UPLINK) if entry.fault is not None]
        spoiled = Counter(
            f"{entry.detail.get('dest_path')}/{name}"
            for entry in struck
            if entry.fault in ("busy_after", "unauthorized_after_body", "drop_files", "truncate_store")
            for name in entry.detail.get("files", [])
        )
        for path, sent in times_sent(sim).items():
            assert sent <= 1 + spoiled[path], (path, faults)


# Sabotage: leave out `_judge` in `FileDownlink._fetch`, or `_check_claims` in `_receive`: a wrong file gets its final
# name.
@pytest.mark.parametrize("seed", range(15))
async def test_whatever_goes_wrong_a_few_times_every_downlinked_file_is_right_in_the_end(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    count = rng.randint(5, 40)
    events: list[Event] = []
    faults = a_schedule(rng, DOWN_KINDS, DOWNLINK)
    envelope = rng.choice((ENVELOPE, ("content",)))  # without its claims, only the listing can tell
    async with Simulator(USERS, faults=faults, seed=seed, envelope=envelope) as sim, connect(sim, settings=SWIFT) as em:
        there = many(sim.volume("client1") / "d", count, size=rng.choice((1, 300, 9000)), parts=3)
        report = await em.downlink("d/", into=tmp_path / "back", workers=rng.randint(1, 8), on_event=events.append)
        assert_each_settled_once(events, {f"d/{name}" for name in hashes(there)})
        assert report.ok, [(faults, one) for one in (*report.failed, *report.unknown)]
        assert hashes(tmp_path / "back") == hashes(there)
