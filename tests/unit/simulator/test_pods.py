from __future__ import annotations

from emasync.simulator.pods import Pod, PodSpec, moment


def pod(*, known: bool = True, scheduled_at: float | None = None) -> Pod:
    spec = PodSpec(image="client1-echo", known=known, node="FPGA", max_duration=1, scheduled_at=scheduled_at)
    return Pod(spec=spec)


def test_a_pod_waits_runs_and_ends() -> None:
    life = pod()
    assert life.state(now=0.0) == {"waiting": {"reason": "ContainerCreating"}}
    life.begin(now=1763641872.9)
    assert life.state(now=2.0) == {"running": {"startedAt": "2025-11-20T12:31:12Z"}}
    life.finish(0, now=1763641880.0)
    assert life.state(now=3.0) == {
        "terminated": {
            "exitCode": 0,
            "reason": "Completed",
            "startedAt": "2025-11-20T12:31:12Z",
            "finishedAt": "2025-11-20T12:31:20Z",
        }
    }


def test_an_exit_code_is_an_error() -> None:
    life = pod()
    life.begin(now=0.0)
    life.finish(3, now=1.0, message="why")
    ended = life.state(now=2.0)["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "why")


def test_an_unknown_image_backs_off() -> None:
    waiting = pod(known=False).state(now=0.0)["waiting"]
    assert waiting == {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "client1-echo"'}


def test_a_scheduled_pod_waits_for_its_time_even_without_an_image() -> None:
    waiting = pod(known=False, scheduled_at=60.0).state(now=59.0)["waiting"]
    assert waiting == {"reason": "ContainerCreating", "message": f"scheduled for {moment(60.0)}"}
    assert pod(known=False, scheduled_at=60.0).state(now=60.0)["waiting"]["reason"] == "ImagePullBackOff"
