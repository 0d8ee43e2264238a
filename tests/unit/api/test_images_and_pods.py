"""`em.images` and `em.pods`: which call each method makes."""

from __future__ import annotations

import pytest

from emasync.api import Images, Pods
from emasync.errors import PodFailedError, UnknownOutcomeError, UnreachableError
from emasync.model import PodPhase
from emasync.wire.requests import Volume
from tests.unit.fake_em import FakeEM

STATUS, RUN, BUILD, LOAD = "em/pod/status", "em/pod/run", "em/pod/image/build", "em/pod/image/load"
ENDED = {"data": {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}}
BAD = {"data": {"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}}


async def test_each_method_is_one_call_but_a_run_which_looks_first() -> None:
    fake = FakeEM(answers={"em/pod/image/list": [{"data": []}]})
    pipeline = fake.pipeline()
    images, pods = Images(pipeline, Volume()), Pods(pipeline, Volume())
    await images.build("i", dockerfile="d")
    await images.load("i", tarfile="t")
    assert await images.list() == []
    await pods.run("i")
    assert (await pods.status()).phase is PodPhase.NONE
    assert fake.sent == ["auth/", BUILD, LOAD, "em/pod/image/list", STATUS, RUN, STATUS]


async def test_a_job_is_never_sent_twice() -> None:
    fake = FakeEM(answers={path: [UnreachableError("reset", sent=True)] for path in (RUN, BUILD, LOAD)})
    pipeline = fake.pipeline()
    for job in (
        Pods(pipeline, Volume()).run("i"),
        Images(pipeline, Volume()).build("i", dockerfile="d"),
        Images(pipeline, Volume()).load("i", tarfile="t"),
    ):
        with pytest.raises(UnknownOutcomeError):
            await job
    assert fake.sent == ["auth/", STATUS, RUN, BUILD, LOAD]


async def test_watch_and_wait_end_with_the_pod() -> None:
    pods = Pods(FakeEM(answers={STATUS: [ENDED]}).pipeline(), Volume())
    assert [status.exit_code async for status in pods.watch()] == [0]
    assert (await pods.wait()).succeeded


async def test_wait_raises_for_a_pod_that_failed() -> None:
    with pytest.raises(PodFailedError):
        await Pods(FakeEM(answers={STATUS: [BAD]}).pipeline(), Volume()).wait()


def test_a_wrong_interval_is_refused_when_watch_is_called() -> None:
    with pytest.raises(ValueError, match="interval"):
        Pods(FakeEM().pipeline(), Volume()).watch(interval=0)
