"""How a random schedule is drawn: what is there at the start, which operations follow, and what happens meanwhile.

Owns: the two values that describe a schedule, and all chances. Carries nothing out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Final

from tests.faults.random_em import Form
from tests.faults.random_events import NAMES, Contents, Temper
from tests.faults.random_history import joined
from tests.faults.random_oracle import Operation, Way

_FORMS: Final[tuple[Form, ...]] = ("envelope", "envelope", "raw", "raw", "bare envelope")
_WAYS: Final[tuple[Way, ...]] = ("sync_down", "sync_down", "sync_up", "sync_up", "downlink", "uplink")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation with what happens during it. `fresh`: through a Client of its own."""

    operation: Operation
    temper: Temper
    fresh: bool
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSchedule:
    """One case. `tags`: "known" or "other", the server's rule; `lagging`: listings may show an older moment."""

    label: str
    prefix: str
    form: Form
    tags: str
    missing: int
    lagging: bool
    journal: bool
    memory: bool
    remote: tuple[tuple[str, bytes], ...] = field(repr=False)
    local: tuple[tuple[str, bytes], ...] = field(repr=False)
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        ways = ", ".join(f"{step.operation.way}{' delete' if step.operation.delete else ''}" for step in self.steps)
        return f"schedule {self.label}: {ways} below {self.prefix!r}, {self.form}, tags {self.tags}"


def drawn(seed: int, number: int) -> RandomSchedule:
    """The schedule of that seed and number, always the same."""
    label = f"{seed}/{number}"
    rng = random.Random(label)
    contents = Contents()
    prefix = rng.choice(("", "d"))
    lagging, form = rng.random() < 0.1, rng.choice(_FORMS)
    remote = {path: contents.drawn(rng) for path in NAMES if rng.random() < 0.6}
    local = {path: _beside(rng, contents, remote.get(path)) for path in NAMES if rng.random() < 0.6}
    if rng.random() < 0.12:
        (remote if rng.random() < 0.5 else local).clear()
    tags = "other" if rng.random() < 0.12 else "known"
    known = tags == "known"  # without, nothing can tell what a server stored, or a raw body, from what it should be
    mood = _mood(rng, lagging=lagging, damage=known or form == "envelope", stored=known)
    schedule = RandomSchedule(
        label=label,
        prefix=prefix,
        form=form,
        tags=tags,
        missing=rng.choice((400, 404)),
        lagging=lagging,
        journal=rng.random() < 0.5,
        memory=rng.random() < 0.15,
        remote=tuple((joined(prefix, path), data) for path, data in remote.items()),
        local=tuple(local.items()),
        steps=tuple(_step(rng, prefix, mood) for _ in range(rng.choice((1, 2, 2, 3)))),
    )
    return _twice(schedule)


def _twice(schedule: RandomSchedule) -> RandomSchedule:
    """Sometimes the same way down twice with a journal, and a pod that puts back what it wrote in between: only so it
    is seen whether what is remembered of a file is of one moment. Of few files: another one that is the same on both
    sides would prove the server's tags, and with them tell."""
    rng = random.Random(f"{schedule.label}/twice")
    if not schedule.journal or rng.random() >= 0.2:
        return schedule
    operation = Operation(way=rng.choice(("downlink", "sync_down")), prefix=schedule.prefix)
    temper = Temper(pod=rng.choice((0.2, 0.5)), revert=1.0)
    steps = (Step(operation=operation, temper=temper, fresh=rng.random() < 0.5, workers=1),) * rng.choice((1, 2))
    return replace(schedule, steps=steps, remote=schedule.remote[: rng.choice((1, 1, 2))], local=())


def _beside(rng: random.Random, contents: Contents, other: bytes | None) -> bytes:
    """The local content of a file: often that of the EM, or another one of its size."""
    if other is None or rng.random() < 0.2:
        return contents.drawn(rng)
    return other if rng.random() < 0.4 else contents.new(len(other))


def _mood(rng: random.Random, *, lagging: bool, damage: bool, stored: bool) -> Temper:
    """What all operations of a schedule have in common: most kinds of events are rare or missing in each."""

    def some(*chances: float) -> float:
        return rng.choice((0.0, 0.0, *chances))

    return Temper(
        pod=some(0.1, 0.3, 0.6),
        flicker=some(0.3, 0.8),
        person=some(0.1, 0.3),
        silent=some(0.0, 0.2, 0.5),
        hollow=some(0.0, 0.3, 0.8),
        lost=some(0.1, 0.3),
        damage=some(0.2, 0.5) if damage else 0.0,
        stored=some(0.2, 0.5) if stored else 0.0,
        refuse=some(0.0, 0.1),
        lag=rng.choice((0.3, 0.8)) if lagging else 0.0,
        revert=some(0.5, 1.0),
    )


def _step(rng: random.Random, prefix: str, mood: Temper) -> Step:
    way = rng.choice(_WAYS)
    sync = way.startswith("sync")
    workers = rng.choice((1, 1, 1, 3))
    wrong = sync and rng.random() < 0.06
    operation = Operation(
        way=way,
        prefix=rng.choice(("dx", joined(prefix, "a"), joined(prefix, "s"))) if wrong and way == "sync_down" else prefix,
        delete=sync and rng.random() < 0.6,
        consent=rng.random() < 0.2,
        dry_run=sync and rng.random() < 0.06,
        max_delete=rng.choice((0, 1)) if sync and rng.random() < 0.1 else None,
    )
    temper = replace(
        mood,
        person=mood.person if workers == 1 else 0.0,  # two threads and a person: nobody could say who came first
        faults=rng.randrange(5),
        events=rng.randrange(1, 7),
        offline_from=rng.randrange(1, 6) if rng.random() < 0.06 else None,
        cancel_at=rng.randrange(1, 9) if rng.random() < 0.12 else None,
        cancel_turns=rng.randrange(12),
    )
    return Step(operation=operation, temper=temper, fresh=rng.random() < 0.4, workers=workers)
