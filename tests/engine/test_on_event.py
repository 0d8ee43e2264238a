"""An `on_event` that raises: it ends its own transfer, with what it raised, and nothing else."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import UnionType

import anyio
import pytest

from emasync import Client, Transfer, UnreachableError
from emasync.http.limiter.aimd import LimitChanged
from emasync.http.limiter.scheduler import LimiterWaiting
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import Confirmed, Event, Forwarding, Planned, Progress, Settled, Started
from tests.contract.stage import USERS, connect
from tests.engine.truth_stage import SWIFT, assert_nothing_is_left, before, hashes, many

ERRORS = {
    "broken pipe": BrokenPipeError(errno.EPIPE, "nobody reads what the caller writes"),
    "connection": UnreachableError("not ours: another EM's, that the caller tells of what happens here"),
    "mistake": KeyError("a mistake of the caller's"),
}


def raising(kind: type[Event] | UnionType, error: Exception, told: list[Event]) -> Callable[[Event], None]:
    def on_event(event: Event) -> None:
        told.append(event)
        if isinstance(event, kind):
            raise error

    return on_event


def a_transfer(em: Client, direction: str, here: Path, on_event: Callable[[Event], None] | None) -> Transfer:
    if direction == "up":
        return em.uplink(f"{here / 'source'}/", dest="up", on_event=on_event)
    return em.downlink("there/", into=here / "into", on_event=on_event)


# Sabotage: no `try` in `EventCallback.emit`: an OSError of the caller's passes for that of a file, or its call is
# tried again.
# Sabotage: no `if self.failure is not None: return` there: events come after the failure.
@pytest.mark.parametrize("why", ERRORS)
@pytest.mark.parametrize(
    ("direction", "kind"),
    [
        ("up", Planned),
        ("up", Started),
        ("up", Progress),
        ("up", Forwarding),
        ("up", Confirmed),
        ("up", Settled),
        ("down", Planned),
        ("down", Started),
        ("down", Progress),
        ("down", Confirmed),
        ("down", Settled),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_what_on_event_raises_ends_the_transfer_and_is_raised_as_it_is(
    tmp_path: Path, direction: str, kind: type[Event], why: str
) -> None:
    many(tmp_path / "source", 6, size=3000)
    was, told = before(), list[Event]()
    async with Simulator(USERS) as sim:
        there = many(sim.volume("client1") / "there", 6, size=3000)
        async with connect(sim, settings=SWIFT) as em:
            with pytest.raises(type(ERRORS[why])) as caught:
                await a_transfer(em, direction, tmp_path, raising(kind, ERRORS[why], told))
            assert caught.value is ERRORS[why]
            assert [type(event) for event in told].count(kind) == 1
            assert isinstance(told[-1], kind)
            assert (await a_transfer(em, direction, tmp_path, None)).ok  # the client goes on
        landed = tmp_path / "into" if direction == "down" else sim.volume("client1") / "up"
        assert hashes(landed) == hashes(there if direction == "down" else tmp_path / "source")
    await assert_nothing_is_left(was, [tmp_path])


# Sabotage: `context.limiter.listen(options.notify)` in `transfer`: the mistake ends whatever call the limiter told of.
async def test_a_transfer_whose_on_event_fails_over_the_limiter_takes_no_other_with_it(tmp_path: Path) -> None:
    many(tmp_path / "source", 3, size=3000)
    ends: list[str] = []
    async with Simulator(USERS) as sim:
        many(sim.volume("client1") / "there", 40, size=3000)
        async with connect(sim, settings=SWIFT) as em:
            await em.downlink("there/", into=tmp_path / "before", workers=8)  # teaches the limiter: two calls
            paused = sim.breakpoint("em/files/downlink")
            sim.faults.add(Fault("busy_before", endpoint="em/files/uplink"))

            async def deaf() -> None:
                with pytest.raises(KeyError):
                    await a_transfer(
                        em, "down", tmp_path, raising(LimitChanged | LimiterWaiting, ERRORS["mistake"], [])
                    )
                ends.append("deaf")

            async def sound() -> None:
                await paused.wait_until_hit()
                ends.append("sound" if (await a_transfer(em, "up", tmp_path, None)).ok else "lost")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(deaf)
                tasks.start_soon(sound)
    assert sorted(ends) == ["deaf", "sound"]
