from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from emasync.simulator import Fault, PodContext, Simulator, VirtualClock

from .raw_client import RawClient, simulator

RUN = {"image": "echo", "node": "FPGA", "max_duration": "1"}


async def state(raw: RawClient, **names: str) -> dict[str, Any]:
    data = (await raw.get("em/pod/status", **names)).data["data"]["state"]
    assert isinstance(data, dict)
    return data


async def test_without_a_pod_there_is_no_state() -> None:
    async with simulator() as (_, raw):
        assert await state(raw) == {}


async def test_a_pod_lives_on_the_clock_and_leaves_a_file() -> None:
    clock = VirtualClock()
    async with simulator(clock=clock, pod_start=5.0, pod_run=20.0) as (sim, raw):
        sim.add_image("client1", "echo")
        assert "scheduled" in (await raw.post("em/pod/run", **RUN, command="ls")).data["message"]
        await clock.advance(4.0)
        assert (await state(raw))["waiting"]["reason"] == "ContainerCreating"
        await clock.advance(1.0)
        assert "running" in await state(raw)
        await clock.advance(20.0)
        ended = (await state(raw))["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
        assert datetime.fromisoformat(ended["finishedAt"]).timestamp() == clock.now()
        text = (sim.volume("client1") / "downlink.txt").read_text()
        assert "image: client1-echo\nnode: FPGA\ncommand: ls\n" in text


async def test_an_unknown_image_backs_off() -> None:
    async with simulator() as (_, raw):
        await raw.post("em/pod/run", **(RUN | {"image": "nope"}))
        waiting = (await state(raw))["waiting"]
        assert waiting == {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "client1-nope"'}


async def test_images_of_others_cannot_run() -> None:
    async with simulator() as (sim, raw):
        sim.add_image("client2", "echo")
        await raw.post("em/pod/run", **(RUN | {"image": "client2-echo"}))
        assert (await state(raw))["waiting"]["reason"] == "ImagePullBackOff"


async def test_a_pod_that_outlives_its_duration_is_stopped() -> None:
    clock = VirtualClock()
    async with simulator(clock=clock, pod_start=0.0, pod_run=3600.0) as (sim, raw):
        sim.add_image("client1", "echo")
        await raw.post("em/pod/run", **(RUN | {"max_duration": "2"}))
        await clock.advance(119.0)
        assert "running" in await state(raw)
        await clock.advance(1.0)
        ended = (await state(raw))["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (137, "DeadlineExceeded")
        assert not (sim.volume("client1") / "downlink.txt").exists()


async def test_a_new_pod_stops_the_old_one() -> None:
    clock = VirtualClock()
    async with simulator(clock=clock, pod_start=1.0) as (sim, raw):
        stopped = list[str]()

        async def forever(context: PodContext) -> None:
            try:
                await context.clock.sleep(1e9)
            finally:
                stopped.append(context.image)

        sim.add_image("client1", "one")
        sim.add_image("client1", "two")
        sim.behaviour("one", forever)
        sim.behaviour("client1-two", forever)
        await raw.post("em/pod/run", **(RUN | {"image": "one"}))
        await clock.advance(1.0)
        assert "running" in await state(raw)
        await raw.post("em/pod/run", **(RUN | {"image": "client1-two"}))
        await clock.advance(1.0)
        # Sabotage: do not call `stop_pod` in handle_run.
        assert stopped == ["client1-one"]
        assert "running" in await state(raw)
        await raw.post("em/pod/run", **(RUN | {"image": "one"}))  # replaced before it ever began
        await raw.post("em/pod/run", **(RUN | {"image": "nope"}))
        await clock.advance(1.0)
        assert stopped == ["client1-one", "client1-two"]
    assert clock.sleeping == 0


async def test_a_pod_that_is_replaced_ends_with_143_and_may_still_be_shown() -> None:
    # Sabotage: do not call Pod.replace in handle_run.
    clock = VirtualClock()
    async with simulator(clock=clock, pod_start=0.0, pod_run=600.0) as (sim, raw):
        sim.add_image("client1", "echo")
        await raw.post("em/pod/run", **RUN)
        await clock.advance(5.0)
        await raw.post("em/pod/run", **(RUN | {"image": "nope"}))
        sim.faults.add(Fault("earlier_status", endpoint="em/pod/status"), Fault("no_pod", endpoint="em/pod/status"))
        old = (await state(raw))["terminated"]
        assert (old["exitCode"], old["reason"]) == (143, "Error")
        assert datetime.fromisoformat(old["finishedAt"]).timestamp() == clock.now()
        assert await state(raw) == {}
        assert (await state(raw))["waiting"]["reason"] == "ImagePullBackOff"


async def test_no_pod_starts_in_the_same_second_as_the_one_before_it() -> None:
    # Sabotage: begin at `now` in Pod.begin.
    clock = VirtualClock(auto=True)
    async with simulator(clock=clock, pod_start=0.01, pod_run=0.01) as (sim, raw):
        sim.add_image("client1", "echo")
        starts = set()
        for _ in range(3):
            await raw.post("em/pod/run", **RUN)
            await clock.sleep(0.1)
            ended = (await state(raw))["terminated"]
            assert ended["startedAt"] <= ended["finishedAt"]
            starts.add(ended["startedAt"])
        assert len(starts) == 3


async def test_a_status_may_come_without_times() -> None:
    clock = VirtualClock()
    async with simulator(clock=clock, pod_start=0.0, pod_run=1.0, pod_times=False) as (sim, raw):
        sim.add_image("client1", "echo")
        await raw.post("em/pod/run", **RUN)
        await clock.advance(0.5)
        assert await state(raw) == {"running": {}}
        await clock.advance(2.0)
        assert await state(raw) == {"terminated": {"exitCode": 0, "reason": "Completed"}}


async def test_a_scheduled_pod_keeps_its_time() -> None:
    clock = VirtualClock()
    when = datetime.fromtimestamp(clock.now() + 7200, UTC).isoformat()
    async with simulator(clock=clock, pod_start=1.0, token_lifetime=1e5) as (sim, raw):
        sim.add_image("client1", "echo")
        await raw.post("em/pod/run", **RUN, scheduled_time=when)
        assert "scheduled for" in (await state(raw))["waiting"]["message"]
        await clock.advance(7200.0)
        assert (await state(raw))["waiting"] == {"reason": "ContainerCreating"}
        await clock.advance(1.0)
        assert "running" in await state(raw)


async def test_a_behaviour_decides_how_its_pod_ends() -> None:
    clock = VirtualClock(auto=True)
    async with simulator(clock=clock, generation="pods") as (sim, raw):
        seen = list[PodContext]()

        async def copy(context: PodContext) -> int:
            seen.append(context)
            (context.volume / "out").write_text("done")
            return len(context.args)

        async def broken(context: PodContext) -> None:
            raise RuntimeError("no antenna")

        sim.add_image("client1", "copy")
        sim.behaviour("copy", copy)
        fields = RUN | {"image": "copy", "args": ["a", "b"], "envs": {"K": 1}, "ports": [80], "pod_name": "pod-a"}
        assert (await raw.json("em/pod/run", **fields)).status == 200
        await clock.sleep(10.0)
        assert (await state(raw, pod_name="pod-a"))["terminated"]["exitCode"] == 2
        assert await state(raw) == {}
        assert (sim.volume("client1", "pod-a") / "out").read_text() == "done"
        assert (seen[0].args, seen[0].envs, seen[0].node) == (("a", "b"), {"K": "1"}, "FPGA")
        sim.behaviour("copy", broken)
        await raw.post("em/pod/run", **(RUN | {"image": "copy"}))
        await clock.sleep(10.0)
        ended = (await state(raw))["terminated"]
        assert (ended["exitCode"], ended["reason"], ended["message"]) == (1, "Error", "RuntimeError: no antenna")


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"image": ""}, {"image": ["This field is required."]}),
        ({"node": ""}, {"node": ["This field is required."]}),
        ({"node": "TPU"}, {"node": ['"TPU" is not a valid choice.']}),
        ({"max_duration": "x"}, {"max_duration": ["A valid integer is required."]}),
        ({"max_duration": "0"}, {"max_duration": ["Ensure this value is greater than or equal to 1."]}),
        ({"args": "a b"}, {"args": ['Expected a list of items but got type "str".']}),
        ({"envs": ["x"]}, {"envs": ['Expected a dictionary of items but got type "list".']}),
        ({"ports": [0]}, {"ports": ["A valid port number is required."]}),
    ],
)
async def test_a_bad_run_says_what_is_wrong(fields: dict[str, Any], answer: dict[str, Any]) -> None:
    async with simulator(generation="pods") as (_, raw):
        reply = await raw.json("em/pod/run", **(RUN | fields))
        assert (reply.status, reply.data) == (400, answer)
        wrong = await raw.post("em/pod/run", **RUN, scheduled_time="tomorrow")
        assert "wrong format" in wrong.data["scheduled_time"][0]


async def test_what_a_form_cannot_carry_is_ignored() -> None:
    async with simulator(generation="pods") as (sim, raw):
        sim.add_image("client1", "echo")
        assert (await raw.post("em/pod/run", **RUN, args="a b", ports="x")).status == 200


@pytest.fixture
async def in_a_fixture() -> Any:
    """A fixture may be set up in one task and torn down in another; see `pod_runner`."""
    async with Simulator({"client1": "secret"}) as sim:
        yield sim


async def test_a_simulator_can_live_in_a_fixture(in_a_fixture: Simulator) -> None:
    assert in_a_fixture.volume("client1").is_dir()
