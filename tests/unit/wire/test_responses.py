"""What 200 answers mean: tolerant of shape, strict in use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.errors import ProtocolError
from emasync.model import PodPhase
from emasync.wire import responses


# Sabotage: `check_success` returns at once.
@pytest.mark.parametrize("reply", [{"error": "EM_OFFLINE", "message": "link down"}, {"error": "x", "data": []}])
def test_an_answer_that_carries_an_error_is_no_success(reply: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="failed") as caught:
        responses.check_success(reply)
    assert reply["error"] in str(caught.value.detail)
    responses.check_success({"error": None, "data": []})
    responses.check_success(["error"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "name", "contents", "state", "waiting", "size"]), inner, max_size=4)
    ),
    max_leaves=12,
)
READERS = (responses.tokens, responses.uplink_receipt, responses.images, responses.nodes, responses.pod_status)


@pytest.mark.parametrize("read", READERS)
@given(reply=JSON)
def test_no_json_value_is_anything_but_read_or_a_protocol_error(read: Any, reply: object) -> None:
    # Sabotage: `float(size)` without its `except`, or `.get` on what need not be an object.
    for value in (reply, {"data": reply}, {"data": [reply]}, {"data": {"state": reply, "total_size_kb": reply}}):
        try:
            read(value)
        except ProtocolError:
            pass


@pytest.mark.parametrize(
    ("data", "count", "size"),
    [
        ({"file_count": 3, "total_size_kb": 1.5}, 3, 1.5),
        ({"file_count": "3", "total_size_kb": "1.5"}, 3, 1.5),
        ({"file_count": True, "total_size_kb": True}, None, None),
        ({"file_count": 2.0, "total_size_kb": 10**400}, None, None),
        ({"total_size_kb": "inf"}, None, None),
        ({"total_size_kb": "much"}, None, None),
        (None, None, None),
        ([], None, None),
    ],
)
def test_a_receipt_says_what_it_says(data: object, count: int | None, size: float | None) -> None:
    receipt = responses.uplink_receipt({"message": "ok", "data": data})
    assert (receipt.file_count, receipt.total_size_kb) == (count, size)


@pytest.mark.parametrize(
    ("element", "name"),
    [
        ("client1-echo", "client1-echo"),
        ({"name": "a"}, "a"),
        ({"Repository": "r", "id": 5}, "r"),
        ({"RepoTags": ["t:latest", "t:1"]}, "t:latest"),
        ({"name": "", "image": "i"}, "i"),
        ({"name": 5, "tags": []}, ""),
        ({"digest": "x"}, ""),
        (None, ""),
        (7, ""),
        (["a"], ""),
    ],
)
def test_an_image_is_a_string_or_an_object_with_one_of_the_usual_keys(element: Any, name: str) -> None:
    (image,) = responses.images({"data": [element]})
    assert image.name == name
    assert image.raw == (element if isinstance(element, dict) else {"name": element})


# Sabotage: `if data is None: return []`: an answer that lists nothing means that there are no images.
@pytest.mark.parametrize("reply", [{}, {"data": None}, {"data": {}}, {"message": "later"}])
def test_only_a_list_is_a_list_of_images(reply: object) -> None:
    assert responses.images({"data": []}) == []
    with pytest.raises(ProtocolError, match="no list of images"):
        responses.images(reply)


def test_nodes_are_ready_not_ready_or_unknown() -> None:
    found = [{"name": "fpga", "status": "True"}, {"name": "gpu", "status": "False"}, {"name": "mpu"}]
    found.append({"name": "x", "status": True})  # type: ignore[dict-item]
    assert [(node.name, node.ready) for node in responses.nodes({"data": found})] == [
        ("fpga", True),
        ("gpu", False),
        ("mpu", None),
        ("x", True),
    ]


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"data": None},
        {"data": ""},
        {"data": []},
        {"data": {}},
        {"data": {"state": None}},
        {"data": {"state": {}}},
        {"data": {"state": {"waiting": None, "running": None}}},
    ],
)
def test_an_empty_state_is_no_pod(reply: object) -> None:
    assert responses.pod_status(reply).phase is PodPhase.NONE


# Sabotage: leave `describes_no_pod` out of `pod_status`: a running pod is "none", is replaced, or has vanished.
@pytest.mark.parametrize(
    "reply",
    [
        {"data": {"state": "none"}},
        {"data": "x"},
        {"data": [1]},
        {"detail": "throttled"},
        {"data": {"error": "kube api down"}},
    ],
)
def test_an_answer_that_describes_no_pod_of_a_pod_is_no_status(reply: object) -> None:
    with pytest.raises(ProtocolError, match="nothing of a pod"):
        responses.pod_status(reply)


def test_a_running_pod_has_a_start_in_utc() -> None:
    status = responses.pod_status(
        {"data": {"state": {"waiting": None, "running": {"startedAt": "2025-11-20T12:31:12Z"}}}}
    )
    assert status.phase is PodPhase.RUNNING
    assert status.started_at == datetime(2025, 11, 20, 12, 31, 12, tzinfo=UTC)


def test_a_terminated_pod_has_its_facts() -> None:
    facts = {"exitCode": 137, "reason": "DeadlineExceeded", "message": "m"}
    times = {"startedAt": "2025-11-20T12:31:12", "finishedAt": "2025-11-20T14:31:12.123456789+02:00"}
    state = {"terminated": {**facts, **times}}
    status = responses.pod_status({"data": {"state": state}})
    assert (status.phase, status.exit_code, status.reason) == (PodPhase.TERMINATED, 137, "DeadlineExceeded")
    assert status.started_at is not None
    assert status.finished_at is not None
    assert status.started_at.utcoffset() == timedelta(0)  # Kubernetes writes UTC
    assert status.finished_at - status.started_at == timedelta(microseconds=123456)
    assert status.raw is state


def test_facts_that_cannot_be_read_are_none() -> None:
    facts = {"exitCode": "zero", "reason": 5, "message": "", "startedAt": "yesterday", "finishedAt": 7}
    status = responses.pod_status({"data": {"state": {"terminated": facts}}})
    assert (status.exit_code, status.reason, status.message, status.started_at, status.finished_at) == (None,) * 5


@pytest.mark.parametrize(("facts", "phase"), [({}, "waiting"), ("x", "waiting"), ([], "running")])
def test_a_state_without_facts_is_still_that_state(facts: object, phase: str) -> None:
    assert responses.pod_status({"data": {"state": {phase: facts}}}).phase.value == phase


def test_a_state_this_version_has_no_word_for_is_unknown_and_kept() -> None:
    status = responses.pod_status({"data": {"state": {"paused": {"reason": "x"}}}})
    assert (status.phase, status.raw) == (PodPhase.UNKNOWN, {"paused": {"reason": "x"}})


def test_tokens_are_access_and_where_given_refresh() -> None:
    assert responses.tokens({"access": "a", "refresh": "r"}) == ("a", "r")
    assert responses.tokens({"access": "a"}) == ("a", None)
    assert responses.tokens({"access": "a", "refresh": 5}) == ("a", None)


@pytest.mark.parametrize("access", [None, "", 5, "a\r\nX: y", "é", "a\x00"])
def test_an_access_token_that_no_header_takes_is_a_protocol_error_without_it(access: object) -> None:
    # Sabotage: take any string: a line break in it would write headers of the server's choice.
    with pytest.raises(ProtocolError, match="no usable access token"):
        responses.tokens({"access": access})


@pytest.mark.parametrize("rest", [{}, {"data": None}, {"data": {"state": {}}}])
def test_a_pod_status_that_names_an_error_is_not_the_status_of_no_pod(rest: dict[str, object]) -> None:
    # Sabotage: leave the test of "error" out of responses.pod_status.
    with pytest.raises(ProtocolError, match="is an error, not a status") as caught:
        responses.pod_status({"error": "STATUS_FAILED", "message": "x", **rest})
    assert caught.value.detail == "STATUS_FAILED"
