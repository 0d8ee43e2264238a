"""Requests as values: exactly the fields that were set, and misuse refused before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from emasync.model import Node
from emasync.wire import requests
from emasync.wire.requests import ApiRequest, Kind, Volume

DEFAULT = Volume()
NAMED = Volume(name="pod-a")
BOTH = {"pod_name": "pod-a", "pvc_name": "pod-a"}


def test_log_in_and_refresh_are_what_the_seed_sends() -> None:
    call = requests.log_in("client1", "secret")
    assert (str(call), call.form, call.json) == ("POST auth/", {"username": "client1", "password": "secret"}, None)
    call = requests.refresh("r")
    assert (str(call), call.form, call.json) == ("POST auth/refresh", None, {"refresh": "r"})


@pytest.mark.parametrize(
    ("call", "text", "kind"),
    [
        (requests.list_files(DEFAULT), "GET em/files/list", Kind.READ),
        (requests.list_images(DEFAULT), "GET em/pod/image/list", Kind.READ),
        (requests.pod_status(DEFAULT), "GET em/pod/status", Kind.READ),
        (requests.nodes_status(), "GET em/nodes/status", Kind.READ),
        (requests.uplink(), "POST em/files/uplink", Kind.UPLINK),
    ],
)
def test_a_call_without_arguments_carries_no_field_at_all(call: ApiRequest, text: str, kind: Kind) -> None:
    assert (str(call), call.kind, call.query, call.form, call.json) == (text, kind, {}, None, None)


def test_each_call_carries_its_fields_and_no_other() -> None:
    # Sabotage: send `"command": command or ""`, or a volume field that is None.
    assert requests.downlink(DEFAULT, "a b.txt").query == {"filepath": "a b.txt"}
    assert requests.delete(DEFAULT, "/a").form == {"filepath": "/a"}
    assert requests.uplink_fields(DEFAULT, "") == {"dest_path": ""}
    build = requests.build_image(DEFAULT, "i", dockerfile="d/Dockerfile", context="d")
    assert build.form == {"dockerfile": "d/Dockerfile", "image": "i", "context": "d"}
    assert requests.load_image(DEFAULT, "i", tarfile="i.tar").form == {"tarfile": "i.tar", "image": "i"}
    run = requests.run_pod(DEFAULT, "i", node=Node.GPU, max_duration=1)
    assert (run.form, run.json) == ({"image": "i", "node": "GPU", "max_duration": "1"}, None)


def test_a_named_volume_is_in_every_call_under_both_names() -> None:
    assert requests.list_files(NAMED).query == BOTH
    assert requests.downlink(NAMED, "a").query == {"filepath": "a", **BOTH}
    assert requests.delete(NAMED, "a").form == {"filepath": "a", **BOTH}
    assert requests.uplink_fields(NAMED, "d") == {"dest_path": "d", **BOTH}
    assert requests.pod_status(NAMED).query == BOTH
    run = requests.run_pod(NAMED, "i", node=Node.FPGA, max_duration=2, ports=[80])
    assert run.json == {"image": "i", "node": "FPGA", "max_duration": 2, "ports": [80], **BOTH}


def test_the_field_that_names_a_volume_can_be_chosen() -> None:
    assert requests.list_files(Volume(name="v", fields=("pvc_name",))).query == {"pvc_name": "v"}


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_volume_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="None means the default volume"):
        Volume(name=name)


def test_only_uplink_build_and_load_may_take_hours_to_answer() -> None:
    build = requests.build_image(DEFAULT, "i", dockerfile="d", context="c")
    load = requests.load_image(DEFAULT, "i", tarfile="t")
    run = requests.run_pod(DEFAULT, "i", node=Node.FPGA, max_duration=1)
    assert [call.long for call in (requests.uplink(), build, load)] == [True] * 3
    assert [call.long for call in (run, requests.delete(DEFAULT, "a"), requests.list_files(DEFAULT))] == [False] * 3
    assert [call.kind for call in (build, load, run)] == [Kind.JOB] * 3


@pytest.mark.parametrize("later", [{"args": []}, {"envs": {}}, {"ports": []}])
def test_a_field_of_later_generations_makes_the_call_json(later: dict[str, object]) -> None:
    run = requests.run_pod(DEFAULT, "i", node=Node.MPU, max_duration=3, command="c", **later)  # type: ignore[arg-type]
    assert run.form is None
    assert run.json == {"image": "i", "node": "MPU", "max_duration": 3, "command": "c", **later}


def test_args_must_not_be_one_string() -> None:
    with pytest.raises(TypeError, match="args is a list of strings"):
        requests.run_pod(DEFAULT, "i", node=Node.FPGA, max_duration=1, args="--flag")


def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(ValueError, match="TPU"):
        requests.run_pod(DEFAULT, "i", node="TPU", max_duration=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_a_scheduled_time_is_sent_with_its_offset(zone: timezone) -> None:
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=zone)
    run = requests.run_pod(DEFAULT, "i", node=Node.FPGA, max_duration=1, scheduled_time=moment)
    assert run.form is not None
    assert run.form["scheduled_time"] == moment.isoformat()
    assert run.form["scheduled_time"][-6:] in ("+00:00", "+02:00")


def test_a_naive_time_is_a_value_error_that_says_why_and_what_to_write() -> None:
    # Sabotage: assume UTC.
    with pytest.raises(ValueError, match=r"scheduled_time .* no time zone, .* 2026-01-02T03:04:00\+00:00"):
        requests.run_pod(DEFAULT, "i", node=Node.FPGA, max_duration=1, scheduled_time=datetime(2026, 1, 2, 3, 4))


def test_a_duration_is_whole_minutes() -> None:
    assert requests.whole_minutes(5) == 5
    assert requests.whole_minutes(timedelta(hours=2)) == 120


@pytest.mark.parametrize("duration", [0, -1, timedelta(0), timedelta(minutes=-5), timedelta(seconds=90)])
def test_less_than_a_minute_or_a_part_of_one_is_refused(duration: int | timedelta) -> None:
    with pytest.raises(ValueError, match="minute"):
        requests.whole_minutes(duration)


@pytest.mark.parametrize("duration", [1.0, True, "1"])
def test_a_duration_of_another_type_is_refused(duration: object) -> None:
    with pytest.raises(TypeError, match="whole minutes"):
        requests.whole_minutes(duration)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/", ".", "./", "//", "..", "../..", "a/..", "/a/../", "./a/b/../.."])
def test_the_root_of_the_volume_cannot_be_deleted_in_any_spelling(path: str) -> None:
    # Sabotage: compare with "/" alone.
    with pytest.raises(ValueError, match="the whole volume"):
        requests.delete(DEFAULT, path)


@pytest.mark.parametrize("path", ["...", ".hidden", "a/../b", "a/.", " "])
def test_a_file_with_an_odd_name_can_be_deleted(path: str) -> None:
    assert requests.delete(DEFAULT, path).form == {"filepath": path}


@pytest.mark.parametrize("path", ["", "a\nb", "a\x00", "a\x7f"])
def test_an_empty_path_or_one_with_controls_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="filepath"):
        requests.downlink(DEFAULT, path)


def test_an_image_needs_a_name() -> None:
    with pytest.raises(ValueError, match="image must not be empty"):
        requests.load_image(DEFAULT, " ", tarfile="t")


def test_no_repr_of_a_call_shows_a_secret() -> None:
    # Sabotage: drop repr=False from `form` or `json`.
    assert "canary" not in repr(requests.log_in("u", "canary"))
    assert "canary" not in repr(requests.refresh("canary"))
    run = requests.run_pod(DEFAULT, "i", node=Node.FPGA, max_duration=1, envs={"KEY": "canary"})
    assert "canary" not in repr(run)


def test_the_subject_is_the_path_or_image_a_call_is_about() -> None:
    assert requests.downlink(DEFAULT, "a.txt").subject == "a.txt"
    assert requests.run_pod(DEFAULT, "i", node=Node.FPGA, max_duration=1, args=["x"]).subject == "i"
    assert requests.list_files(NAMED).subject is None
