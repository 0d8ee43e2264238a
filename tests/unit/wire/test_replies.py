"""What 200 answers mean: tolerant of shape, strict in use."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emasync.errors import ProtocolError
from emasync.model import PodPhase, RemotePath
from emasync.wire import replies
from emasync.wire.json_reply import parse_text

DOCUMENTED: dict[str, Any] = {
    "message": "ok",
    "data": [
        {
            "type": "directory",
            "name": "echo-test",
            "size": "487",
            "time": "2025-11-20-12-31",
            "contents": [
                {"type": "file", "name": "Dockerfile", "size": "121", "hash": -6285199279658827551},
                {"type": "directory", "name": "empty", "size": "2", "contents": []},
                {"type": "file", "name": "echo.sh", "size": "362", "hash": 1},
            ],
        },
        {"type": "file", "name": "a.txt", "size": "167", "time": "2025-11-20-12-31", "hash": 5686952638663605203},
    ],
}


def test_the_documented_listing_is_read_whole_and_in_its_order() -> None:
    # Sabotage: read a level's files before its folders.
    tree = replies.file_tree(deepcopy(DOCUMENTED))
    assert [entry.path for entry in tree] == ["echo-test/Dockerfile", "echo-test/echo.sh", "a.txt"]
    assert tree.folders == ("echo-test", "echo-test/empty")
    entry = tree["a.txt"]
    assert (entry.size, entry.time, entry.content_tag) == (167, "2025-11-20-12-31", 5686952638663605203)
    assert tree.total_size == 121 + 362 + 167


BAD_SIZES: list[object] = ["", "x", "1.5", 1.5, True, None, [], "-1", -1, "1e3", "0x10", "²", "9" * 21]
BAD_TAGS: list[object] = [2**63, -(2**63) - 1, 1.0, True, "abc", None, {}]


@pytest.mark.parametrize(
    ("size", "meant"),
    [("167", 167), (167, 167), ("0", 0), (" 5 ", 5), (2**40, 2**40), *((bad, None) for bad in BAD_SIZES)],
)
def test_a_size_is_a_whole_number_or_unknown(size: object, meant: int | None) -> None:
    # Sabotage: `int(size)`: fractions are cut, True becomes 1, garbage raises.
    tree = replies.file_tree({"data": [{"type": "file", "name": "a", "size": size}]})
    assert tree["a"].size == meant


@pytest.mark.parametrize(
    ("tag", "meant"),
    [(-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), ("-5", -5), (0, 0), *((bad, None) for bad in BAD_TAGS)],
)
def test_a_tag_is_a_signed_64_bit_number_or_unknown(tag: object, meant: int | None) -> None:
    assert replies.file_tree({"data": [{"type": "file", "name": "a", "hash": tag}]})["a"].content_tag == meant


NO_LISTINGS: list[dict[str, Any]] = [
    {},
    {"data": None},
    {"data": {}},
    {"data": "x"},
    {"message": "EM is offline, try later"},
    {"detail": "throttled"},
    {"name": "x"},
]


# Sabotage: take a missing `data` for an empty list of entries.
@pytest.mark.parametrize("reply", NO_LISTINGS)
def test_an_answer_without_a_list_of_entries_is_no_listing_and_no_empty_volume(reply: dict[str, Any]) -> None:
    said = reply.get("message") or reply.get("detail")
    with pytest.raises(ProtocolError, match="no listing") as caught:
        replies.file_tree(deepcopy(reply))
    assert caught.value.detail == said
    with pytest.raises(ProtocolError, match="no listing"):
        replies.file_tree(parse_text(json.dumps(reply), shrink=replies.Shrinker()))


def test_an_empty_list_of_entries_is_an_empty_volume() -> None:
    tree = replies.file_tree({"data": []})
    assert (len(tree), tree.complete, tree.is_known("a/b")) == (0, True, True)


# Sabotage: `raw.get("contents") or []`: a folder whose contents are not given is an empty one.
@pytest.mark.parametrize("contents", [None, "x", {}, 5])
def test_a_folder_whose_contents_are_not_given_is_unknown_and_not_empty(contents: object) -> None:
    entries = [{"type": "directory", "name": "d", "contents": contents}, {"name": "a"}]
    tree = replies.file_tree({"data": entries})
    assert (list(tree.folders), sorted(tree.unknown_folders), tree.complete) == (["d"], ["d"], False)
    assert [tree.is_known(path) for path in ("d/x", "d/e/x", "d", "a", "e/x")] == [False, False, True, True, True]


def test_a_folder_that_carries_an_error_is_unknown_beyond_what_it_lists() -> None:
    folder = {"type": "directory", "name": "d", "error": "EIO", "contents": [{"name": "x"}]}
    tree = replies.file_tree({"data": [folder]})
    assert ("d/x" in tree, tree.is_known("d/y")) == (True, False)


# Sabotage: leave out `only=wanted` where the tree is made: an absence is concluded from what was not looked for.
def test_a_listing_for_some_files_knows_nothing_of_others() -> None:
    tree = replies.file_tree({"data": [{"name": "a"}, {"name": "b"}]}, only={RemotePath("a"), RemotePath("c")})
    assert [tree.is_known(path) for path in ("a", "c", "b")] == [True, True, False]
    assert not tree.complete


# Sabotage: `check_success` returns at once.
@pytest.mark.parametrize("reply", [{"error": "EM_OFFLINE", "message": "link down"}, {"error": "x", "data": []}])
def test_an_answer_that_carries_an_error_is_no_success(reply: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="failed") as caught:
        replies.check_success(reply)
    assert reply["error"] in str(caught.value.detail)
    replies.check_success({"error": None, "data": []})
    replies.check_success(["error"])


@pytest.mark.parametrize(
    "reply",
    [
        [],
        "text",
        None,
        {"data": ["x"]},
        {"data": [None]},
        {"data": [{}]},
        {"data": [{"name": ""}]},
        {"data": [{"name": 5}]},
    ],
)
def test_a_listing_of_another_shape_is_a_protocol_error(reply: object) -> None:
    with pytest.raises(ProtocolError):
        replies.file_tree(reply)


def test_a_listing_400_folders_deep_is_read_without_recursion() -> None:
    # Sabotage: read folders recursively.
    entries: list[Any] = [{"type": "file", "name": "leaf", "size": 1}]
    for _ in range(4000):
        entries = [{"type": "directory", "name": "d", "contents": entries}]
    tree = replies.file_tree({"data": entries})
    assert [len(entry.path.parts) for entry in tree] == [4001]


# Sabotage: do not count in `_less`: 100 GB for an answer of a few MB.
def test_paths_of_a_listing_are_bounded_together() -> None:
    inside = [{"type": "file", "name": f"f{number}"} for number in range(1000)]
    with pytest.raises(ProtocolError, match="paths"):
        replies.file_tree({"data": [{"type": "directory", "name": "A" * 2**20, "contents": inside}]})


# Sabotage: compare whole paths with the bare names of entries, or forget names that hold a slash.
def test_a_listing_for_some_files_has_these_and_no_others() -> None:
    document = deepcopy(DOCUMENTED)
    document["data"] += [
        {"name": "d/x"},
        {"name": "x"},
        {"type": "directory", "name": "d", "contents": [{"name": "y"}]},
    ]
    whole = replies.file_tree(deepcopy(document))
    only = {RemotePath("echo-test/echo.sh"), RemotePath("d/x"), RemotePath("d/none")}
    text = json.dumps(document)
    shrunk = parse_text(text, shrink=replies.Shrinker(only))
    for tree in (replies.file_tree(shrunk, only=only), replies.file_tree(deepcopy(document), only=only)):
        assert [entry.path for entry in tree] == ["echo-test/echo.sh", "d/x"]
        assert list(tree) == [entry for entry in whole if entry.path in only]
        assert tree.folders == whole.folders
    again = replies.file_tree(parse_text(text, shrink=replies.Shrinker()))
    assert list(again) == list(whole)


# Sabotage: leave out `if "data" in raw` in Shrinker: a listing that says its volume's name is taken for a file.
def test_a_listing_may_have_a_name_and_a_file_may_have_data() -> None:
    text = '{"name": "vol", "data": [{"name": "a", "data": 1}]}'
    for only in (None, {"a", "b"}):
        shrunk = parse_text(text, shrink=replies.Shrinker(only))
        assert [entry.path for entry in replies.file_tree(shrunk, only=only)] == ["a"]
    assert [entry.path for entry in replies.file_tree(json.loads(text))] == ["a"]


# Sabotage: keep the entries of a folder while its files are made: a large listing is in memory twice.
def test_a_listing_is_taken_apart() -> None:
    document = deepcopy(DOCUMENTED)
    replies.file_tree(document)
    assert document["data"] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "name", "contents", "state", "waiting", "size"]), inner, max_size=4)
    ),
    max_leaves=12,
)
READERS = (replies.tokens, replies.file_tree, replies.uplink_receipt, replies.images, replies.nodes, replies.pod_status)


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
    receipt = replies.uplink_receipt({"message": "ok", "data": data})
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
    (image,) = replies.images({"data": [element]})
    assert image.name == name
    assert image.raw == (element if isinstance(element, dict) else {"name": element})


def test_no_images_is_an_empty_list_and_an_object_is_none() -> None:
    assert replies.images({"data": None}) == []
    with pytest.raises(ProtocolError, match="image list"):
        replies.images({"data": {}})


def test_nodes_are_ready_not_ready_or_unknown() -> None:
    found = [{"name": "fpga", "status": "True"}, {"name": "gpu", "status": "False"}, {"name": "mpu"}]
    found.append({"name": "x", "status": True})  # type: ignore[dict-item]
    assert [(node.name, node.ready) for node in replies.nodes({"data": found})] == [
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
        {"data": {"state": "none"}},
    ],
)
def test_an_empty_state_is_no_pod(reply: object) -> None:
    assert replies.pod_status(reply).phase is PodPhase.NONE


def test_a_running_pod_has_a_start_in_utc() -> None:
    status = replies.pod_status(
        {"data": {"state": {"waiting": None, "running": {"startedAt": "2025-11-20T12:31:12Z"}}}}
    )
    assert status.phase is PodPhase.RUNNING
    assert status.started_at == datetime(2025, 11, 20, 12, 31, 12, tzinfo=UTC)


def test_a_terminated_pod_has_its_facts() -> None:
    facts = {"exitCode": 137, "reason": "DeadlineExceeded", "message": "m"}
    times = {"startedAt": "2025-11-20T12:31:12", "finishedAt": "2025-11-20T14:31:12.123456789+02:00"}
    state = {"terminated": {**facts, **times}}
    status = replies.pod_status({"data": {"state": state}})
    assert (status.phase, status.exit_code, status.reason) == (PodPhase.TERMINATED, 137, "DeadlineExceeded")
    assert status.started_at is not None
    assert status.finished_at is not None
    assert status.started_at.utcoffset() == timedelta(0)  # Kubernetes writes UTC
    assert status.finished_at - status.started_at == timedelta(microseconds=123456)
    assert status.raw is state


def test_facts_that_cannot_be_read_are_none() -> None:
    facts = {"exitCode": "zero", "reason": 5, "message": "", "startedAt": "yesterday", "finishedAt": 7}
    status = replies.pod_status({"data": {"state": {"terminated": facts}}})
    assert (status.exit_code, status.reason, status.message, status.started_at, status.finished_at) == (None,) * 5


@pytest.mark.parametrize(("facts", "phase"), [({}, "waiting"), ("x", "waiting"), ([], "running")])
def test_a_state_without_facts_is_still_that_state(facts: object, phase: str) -> None:
    assert replies.pod_status({"data": {"state": {phase: facts}}}).phase.value == phase


def test_a_state_this_version_has_no_word_for_is_unknown_and_kept() -> None:
    status = replies.pod_status({"data": {"state": {"paused": {"reason": "x"}}}})
    assert (status.phase, status.raw) == (PodPhase.UNKNOWN, {"paused": {"reason": "x"}})


def test_tokens_are_access_and_where_given_refresh() -> None:
    assert replies.tokens({"access": "a", "refresh": "r"}) == ("a", "r")
    assert replies.tokens({"access": "a"}) == ("a", None)
    assert replies.tokens({"access": "a", "refresh": 5}) == ("a", None)


@pytest.mark.parametrize("access", [None, "", 5, "a\r\nX: y", "é", "a\x00"])
def test_an_access_token_that_no_header_takes_is_a_protocol_error_without_it(access: object) -> None:
    # Sabotage: take any string: a line break in it would write headers of the server's choice.
    with pytest.raises(ProtocolError, match="no usable access token"):
        replies.tokens({"access": access})


@pytest.mark.parametrize("rest", [{}, {"data": None}, {"data": {"state": {}}}])
def test_a_pod_status_that_names_an_error_is_not_the_status_of_no_pod(rest: dict[str, object]) -> None:
    # Sabotage: leave the test of "error" out of replies.pod_status.
    with pytest.raises(ProtocolError, match="is an error, not a status") as caught:
        replies.pod_status({"error": "STATUS_FAILED", "message": "x", **rest})
    assert caught.value.detail == "STATUS_FAILED"
