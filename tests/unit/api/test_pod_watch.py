"""Following a pod, with looks, sleep and clock handed in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain, repeat

import anyio
import anyio.lowlevel
import pytest

from emasync.api.pods import PodWatch, Polling, judged
from emasync.api.run_tracker import RunEvidence, RunTracker
from emasync.errors import (
    AuthError,
    BusyError,
    EMError,
    PodFailedError,
    PodVanishedError,
    ProtocolError,
    ServerError,
    TimedOutError,
    UnknownOutcomeError,
    UnreachableError,
)
from emasync.model import Node, PodPhase, PodRun, PodStatus

NONE = PodStatus(phase=PodPhase.NONE)
CREATING = PodStatus(phase=PodPhase.WAITING, reason="ContainerCreating")
BACK_OFF = PodStatus(phase=PodPhase.WAITING, reason="ImagePullBackOff", message="no such \x1b[31mimage")
RUNNING = PodStatus(phase=PodPhase.RUNNING)
DONE = PodStatus(phase=PodPhase.TERMINATED, exit_code=0, reason="Completed")
FAILED = PodStatus(phase=PodPhase.TERMINATED, exit_code=3, reason="Error", message="boom")
DOWN = UnreachableError("down", sent=True)


class Scene:
    """Looks come from a list; `sleep` moves the clock and nothing else."""

    def __init__(self, looks: Iterable[PodStatus | EMError], *, rand: float = 0.5) -> None:
        self.looks = iter(looks)
        self.now = 0.0
        self.slept: list[float] = []
        self.rand = rand
        self.looked_at: list[float] = []

    async def look(self) -> PodStatus:
        self.looked_at.append(self.now)
        seen = next(self.looks)
        if isinstance(seen, EMError):
            raise seen
        return seen

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()

    def watch(self, run: PodRun | None = None, *, interval_s: float = 2.0, outage_s: float = 120.0) -> PodWatch:
        polling = Polling(
            interval_s=interval_s,
            outage_s=outage_s,
            rand=lambda: self.rand,
            sleep=self.sleep,
            clock=lambda: self.now,
        )
        return PodWatch(self.look, tracker=RunTracker(run, evidence=RunEvidence(), now_s=self.now), polling=polling)

    async def all(self, run: PodRun | None = None) -> list[PodStatus]:
        return [status async for status in self.watch(run)]


async def test_the_first_look_is_at_once() -> None:
    scene = Scene([DONE])
    assert await scene.all() == [DONE]
    assert (scene.looked_at, scene.slept) == ([0.0], [])


async def test_every_change_is_yielded_once_until_the_pod_has_ended() -> None:
    # Sabotage: forget `self._shown = status` in PodWatch.__anext__.
    scene = Scene([NONE, NONE, CREATING, CREATING, RUNNING, RUNNING, DONE, RUNNING])
    assert await scene.all() == [NONE, CREATING, RUNNING, DONE]
    assert scene.looked_at == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]


async def test_a_dead_end_ends_the_watch() -> None:
    assert await Scene([CREATING, BACK_OFF]).all() == [CREATING, BACK_OFF]


@pytest.mark.parametrize(("rand", "seconds"), [(0.0, 1.6), (0.5, 2.0), (1.0, 2.4)])
async def test_the_interval_is_kept_within_a_fifth(rand: float, seconds: float) -> None:
    scene = Scene([CREATING, DONE], rand=rand)
    await scene.all()
    assert scene.slept == [pytest.approx(seconds)]


@pytest.mark.parametrize(
    "error", [DOWN, TimedOutError("slow"), ServerError("broken", status=502), ProtocolError("an error with 200")]
)
async def test_a_short_outage_is_sat_out(error: EMError) -> None:
    scene = Scene([RUNNING, *[error] * 59, RUNNING, DONE])  # 59 looks 2 s apart: 118 s without an answer
    assert await scene.all() == [RUNNING, DONE]


async def test_a_long_outage_is_raised() -> None:
    # Sabotage: set `_answered_s` at failures too in PodWatch._next_status.
    scene = Scene([RUNNING, *[DOWN] * 100])
    with pytest.raises(UnreachableError):
        await scene.all()
    assert scene.now == pytest.approx(120.0)


async def test_an_answer_ends_an_outage_and_its_time() -> None:
    scene = Scene([*[DOWN] * 50, RUNNING, *[DOWN] * 50, DONE])
    assert await scene.all() == [RUNNING, DONE]


@pytest.mark.parametrize("error", [AuthError("no"), BusyError("beyond the budget")])
async def test_what_is_no_outage_is_raised_at_once(error: EMError) -> None:
    scene = Scene([RUNNING, error])
    with pytest.raises(type(error)):
        await scene.all()


@pytest.mark.parametrize("interval_s", [0.0, -1.0, float("nan"), float("inf")])
def test_an_interval_is_a_positive_number(interval_s: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        Scene([]).watch(interval_s=interval_s)


async def test_waiting_gives_the_last_status_of_a_pod_that_ended_well() -> None:
    assert await Scene([CREATING, RUNNING, DONE]).watch().end() is DONE


async def test_waiting_raises_what_became_of_the_pod() -> None:
    with pytest.raises(PodFailedError, match=r"exit code 3 \(Error\): boom") as caught:
        await Scene([RUNNING, FAILED]).watch().end()
    assert (caught.value.pod, caught.value.reason) == (FAILED, "Error")


async def test_waiting_for_a_pod_that_cannot_start_ends_at_once() -> None:
    with pytest.raises(PodFailedError, match=r"cannot start \(ImagePullBackOff\)") as caught:
        await Scene([BACK_OFF]).watch().end()
    assert "\x1b" not in str(caught.value)


async def test_waiting_has_an_end_that_says_what_was_seen_last() -> None:
    class Stuck(Scene):
        async def sleep(self, seconds: float) -> None:
            await anyio.sleep_forever()

    with pytest.raises(TimedOutError, match=r"within 0\.01 s \(last seen: running\); it goes on") as caught:
        await Stuck([RUNNING]).watch().end(timeout_s=0.01)
    assert caught.value.phase == "pod"
    assert caught.value.__suppress_context__


async def test_a_time_out_of_a_look_is_not_taken_for_the_waiting_s() -> None:
    # Sabotage: drop the isinstance test in `end`; TimedOutError is a TimeoutError too.
    with pytest.raises(TimedOutError, match="slow"):
        await Scene([TimedOutError("slow", phase="answer")]).watch(outage_s=0.0).end(timeout_s=60.0)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (PodStatus(phase=PodPhase.TERMINATED, reason="Error"), "without an exit code"),
        (PodStatus(phase=PodPhase.TERMINATED, exit_code=137), "no reason given"),
    ],
)
def test_missing_facts_are_said_to_be_missing(status: PodStatus, said: str) -> None:
    with pytest.raises(PodFailedError, match=said):
        judged(status)


def a_run(before: PodStatus | None) -> PodRun:
    asked_at = datetime(2026, 1, 5, 10, tzinfo=UTC)
    return PodRun(image="echo", node=Node.GPU, asked_at=asked_at, max_duration_s=60.0, before=before)


async def test_the_status_of_an_earlier_run_is_not_taken_for_this_one_s() -> None:
    # Sabotage: return Step.SHOW instead of HOLD at the end of RunTracker._observe_doubtful.
    assert await Scene([FAILED, FAILED, CREATING, DONE]).all(a_run(FAILED)) == [CREATING, DONE]


async def test_a_pod_that_vanishes_ends_the_watch_and_fails_the_wait_as_unknown() -> None:
    # Sabotage: drop the comparison with _MIN_ABSENT_POLLS in RunTracker._observe_none; the watch then ends at poll 2.
    looks = [RUNNING, *[NONE] * 40]
    scene = Scene(looks)
    assert await scene.all(a_run(NONE)) == [RUNNING, NONE]
    assert scene.now == pytest.approx(62.0)
    with pytest.raises(
        PodVanishedError, match=r"the run of echo on GPU, asked for at 2026-01-05T10.* vanished"
    ) as caught:
        await Scene(looks).watch(a_run(NONE)).end()
    assert isinstance(caught.value, UnknownOutcomeError)


async def test_a_wait_that_nothing_can_decide_ends_and_says_what_it_waited_for() -> None:
    # Sabotage: make PodRun.bound_s infinite (the looks then run out).
    scene = Scene(repeat(DONE, 600))
    with pytest.raises(
        UnknownOutcomeError, match=r"the run of echo on GPU.*terminated, Completed, exit code 0, which may"
    ):
        await scene.watch(a_run(DONE)).end()
    assert scene.now == pytest.approx(60 + 900, abs=2.0)


async def test_a_dead_end_that_may_be_the_earlier_run_s_fails_after_a_minute_and_says_so() -> None:
    # Sabotage: leave `doubtful` out of the call of judged in PodWatch.result.
    scene = Scene(repeat(BACK_OFF, 100))
    with pytest.raises(PodFailedError, match=r"cannot start \(ImagePullBackOff\).*may be the earlier run's status"):
        await scene.watch(a_run(BACK_OFF)).end()
    assert scene.now == pytest.approx(60.0)


async def test_a_run_that_another_one_replaced_has_no_end_of_its_own() -> None:
    # Sabotage: return Step.SHOW for another `started_at` in RunTracker._observe_own.
    ours, theirs = (
        PodStatus(phase=PodPhase.RUNNING, started_at=datetime(2026, 1, 5, hour, tzinfo=UTC)) for hour in (10, 11)
    )
    with pytest.raises(PodVanishedError, match="was replaced") as caught:
        await Scene([ours, theirs, DONE]).watch(a_run(NONE)).end()
    assert caught.value.pod == theirs


async def test_a_result_is_there_only_once_the_watch_has_ended() -> None:
    watch = Scene([RUNNING, DONE]).watch()
    assert await anext(watch) == RUNNING
    with pytest.raises(RuntimeError, match="has not ended"):
        watch.result()
    assert await anext(watch) == DONE
    assert watch.result() == DONE


async def test_an_outage_is_timed_from_the_first_look_not_from_the_call() -> None:
    # Sabotage: set `_answered_s` in PodWatch.__init__.
    scene = Scene(chain([DOWN] * 3, [DONE]))
    watch = scene.watch()
    scene.now += 1000.0
    assert [status async for status in watch] == [DONE]
