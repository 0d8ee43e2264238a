"""What the entries of a listing mean: tolerant of shape, strict in use."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from emasync.config import Limits
from emasync.errors import ProtocolError
from emasync.model import RemotePath
from tests.unit.wire.listings import file_tree, read_listing

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
    tree = file_tree(DOCUMENTED)
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
    tree = file_tree({"data": [{"type": "file", "name": "a", "size": size}]})
    assert tree["a"].size == meant


@pytest.mark.parametrize(
    ("tag", "meant"),
    [(-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), ("-5", -5), (0, 0), *((bad, None) for bad in BAD_TAGS)],
)
def test_a_tag_is_a_signed_64_bit_number_or_unknown(tag: object, meant: int | None) -> None:
    assert file_tree({"data": [{"type": "file", "name": "a", "hash": tag}]})["a"].content_tag == meant


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
        file_tree(reply)
    assert caught.value.detail == said


def test_an_empty_list_of_entries_is_an_empty_volume() -> None:
    tree = file_tree({"data": []})
    assert (len(tree), tree.complete, tree.is_known("a/b")) == (0, True, True)


# Sabotage: `raw.get("contents") or []`: a folder whose contents are not given is an empty one.
@pytest.mark.parametrize("contents", [None, "x", {}, 5])
def test_a_folder_whose_contents_are_not_given_is_unknown_and_not_empty(contents: object) -> None:
    entries = [{"type": "directory", "name": "d", "contents": contents}, {"name": "a"}]
    tree = file_tree({"data": entries})
    assert (list(tree.folders), set(tree.unknown_folders), tree.complete) == (["d"], {"d"}, False)
    assert [tree.is_known(path) for path in ("d/x", "d/e/x", "d", "a", "e/x")] == [False, False, True, True, True]


def test_a_folder_that_carries_an_error_is_unknown_beyond_what_it_lists() -> None:
    folder = {"type": "directory", "name": "d", "error": "EIO", "contents": [{"name": "x"}]}
    tree = file_tree({"data": [folder]})
    assert ("d/x" in tree, tree.is_known("d/y")) == (True, False)


# Sabotage: leave out `only=wanted` where the tree is made: an absence is concluded from what was not looked for.
def test_a_listing_for_some_files_knows_nothing_of_others() -> None:
    tree = file_tree({"data": [{"name": "a"}, {"name": "b"}]}, only={RemotePath("a"), RemotePath("c")})
    assert [tree.is_known(path) for path in ("a", "c", "b")] == [True, True, False]
    assert not tree.complete


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
        file_tree(reply)


# Sabotage: `_MAX_DEPTH = 10**9`.
def test_a_listing_2000_folders_deep_is_read_without_recursion_and_a_deeper_one_is_refused() -> None:
    def nested(depth: int) -> str:
        return '{"data":[' + '{"name":"d","contents":[' * depth + '{"name":"leaf"}' + "]}" * depth + "]}"

    tree = read_listing(nested(2000))
    assert [len(entry.path.parts) for entry in tree] == [2001]
    with pytest.raises(ProtocolError, match="too deeply"):
        read_listing(nested(3000))


# Sabotage: leave out the comparison of `remaining` in `_TreeBuilder.add` or in `open_folder`.
@pytest.mark.parametrize(
    ("entry", "fits"), [({"name": "f"}, 40), ({"name": "d", "contents": []}, 10), ({"name": "d", "contents": None}, 10)]
)
def test_a_listing_has_so_many_entries_and_no_more(entry: dict[str, Any], fits: int) -> None:
    limits = Limits(listing_entries=40)
    listed = [entry | {"name": f"{entry['name']}{number}"} for number in range(fits + 1)]
    tree = read_listing(json.dumps({"data": listed[:-1]}), limits=limits)
    assert len(tree) + len(tree.folders) == fits
    with pytest.raises(ProtocolError, match="more than 40 entries"):
        read_listing(json.dumps({"data": listed}), limits=limits)


# Sabotage: leave out the comparison with `files.characters`: 100 GB of paths for an answer of a few MB.
def test_paths_of_a_listing_are_bounded_together() -> None:
    inside = [{"type": "file", "name": f"f{number}"} for number in range(1000)]
    with pytest.raises(ProtocolError, match="paths"):
        file_tree({"data": [{"type": "directory", "name": "A" * 2**19, "contents": inside}]})


# Sabotage: compare whole paths with the bare names of entries, or forget names that hold a slash.
def test_a_listing_for_some_files_has_these_and_no_others() -> None:
    document = deepcopy(DOCUMENTED)
    document["data"] += [
        {"name": "d/x"},
        {"name": "x"},
        {"type": "directory", "name": "d", "contents": [{"name": "y"}]},
    ]
    whole = file_tree(document)
    only = {RemotePath("echo-test/echo.sh"), RemotePath("d/x"), RemotePath("d/none")}
    tree = file_tree(document, only=only)
    assert [entry.path for entry in tree] == ["echo-test/echo.sh", "d/x"]
    assert list(tree) == [entry for entry in whole if entry.path in only]
    assert tree.folders == whole.folders


# Sabotage: look for a list under "data" in entries, too.
def test_a_listing_may_have_a_name_and_a_file_may_have_data() -> None:
    text = '{"name": "vol", "data": [{"name": "a", "data": 1}, {"name": "b", "data": [{"name": "c"}]}]}'
    for only in (None, {"a", "b", "c"}):
        assert [entry.path for entry in read_listing(text, only=only)] == ["a", "b"]


# Sabotage: the path of a folder is made when it is met: its name may come after its contents.
def test_a_folder_may_say_its_name_after_its_contents() -> None:
    text = '{"data": [{"contents": [{"name": "a"}, {"contents": [], "name": "e"}], "name": "d"}], "message": "ok"}'
    tree = read_listing(text)
    assert ([entry.path for entry in tree], tree.folders) == (["d/a"], ("d", "d/e"))


# Sabotage: do not look for names with a slash or a dot (`_irregular`): they are not found by their path.
def test_a_name_with_slashes_and_dots_is_found_in_normal_form() -> None:
    tree = file_tree({"data": [{"name": "d", "contents": [{"name": "e//f"}, {"name": "."}]}, {"name": "./g"}]})
    assert [entry.path for entry in tree] == ["d/e/f", "d", "g"]
    assert all(entry.path in tree for entry in tree)


# Sabotage: take the names of `only` as they are written: a listed file is missing, and "known" to be so.
def test_the_paths_that_matter_may_be_written_in_any_way() -> None:
    tree = file_tree(
        {"data": [{"type": "directory", "name": "d", "contents": [{"name": "x.bin"}]}]}, only={"/d//x.bin/"}
    )
    assert "d/x.bin" in tree
