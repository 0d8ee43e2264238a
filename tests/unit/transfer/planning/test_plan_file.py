"""A plan on paper is the plan: what was dumped loads equal, what was cut or edited does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emasync.disk.fingerprint import Fingerprint
from emasync.errors import EMError, NotFoundError, TooLargeError, UnsafePathError
from emasync.model import FileEntry, RemotePath
from emasync.transfer.planning.packing import plan_uplink
from emasync.transfer.planning.plan import (
    DownlinkItem,
    DownlinkPlan,
    LocalFile,
    RejectedFile,
    UplinkCall,
    UplinkItem,
    UplinkPlan,
    prefix,
)
from emasync.transfer.planning.plan_file import dump_plan, load_plan

PRINT = Fingerprint(size=5, mtime_ns=1_764_000_000_123_456_789, ctime_ns=2, inode=2**63 + 5, device=7)
UP = plan_uplink(
    [
        LocalFile(directory=before, relative=RemotePath(name), fingerprint=PRINT)
        for before, name in (("here/", "a"), ("here/d/", "d/ü b"), ("here/d/", "d/c"))
    ],
    refused=[
        RejectedFile(
            remote=RemotePath("bad\\xff"), local=Path("bad\udcff"), error=UnsafePathError("no", name="n", reason="r")
        ),
        RejectedFile(remote=RemotePath("x"), local=None, error=NotFoundError("gone")),
        RejectedFile(remote=RemotePath("y"), local=None, error=TooLargeError("big")),
    ],
    notes=["a note"],
)
ENTRY = FileEntry(path=RemotePath("r/x"), size=9, time="2025-11-20-12-31", content_tag=-6285199279658827551)
DOWN = DownlinkPlan(
    items=(
        DownlinkItem(remote=RemotePath("r/x"), local_path=RemotePath("x"), entry=ENTRY),
        DownlinkItem(remote=RemotePath("r/y"), local_path=RemotePath("deep/y")),
    )
)


def test_an_uplink_plan_comes_back_as_it_was() -> None:
    loaded = load_plan(dump_plan(UP))
    assert dump_plan(loaded) == dump_plan(UP)
    assert type(loaded) is type(UP)
    assert loaded.notes == UP.notes
    assert [type(one.error) for one in loaded.refused] == [UnsafePathError, NotFoundError, TooLargeError]
    assert [str(one.error) for one in loaded.refused] == ["no", "gone", "big"]


def test_a_downlink_plan_comes_back_as_it_was() -> None:
    assert load_plan(dump_plan(DOWN)) == DOWN


@given(name=st.text(st.characters(exclude_characters="/\0"), min_size=1), size=st.integers(0, 2**60))
@settings(max_examples=60, deadline=None)
def test_any_name_survives_the_round_trip(name: str, size: int) -> None:
    mark = Fingerprint(size=size, mtime_ns=0, ctime_ns=0, inode=1, device=1)
    plan = plan_uplink([LocalFile(directory=prefix(Path(name)), relative=RemotePath(name) / "x", fingerprint=mark)])
    text = dump_plan(plan)
    assert text.isascii()
    assert dump_plan(load_plan(text)) == text


# Sabotage: UplinkItem.at forgets `name`.
def test_a_file_may_have_another_name_here_than_there() -> None:
    item = UplinkItem.at("here/a.txt", remote=RemotePath("d/b.txt"), fingerprint=PRINT)
    plan = UplinkPlan(calls=(UplinkCall(dest=RemotePath("d"), items=(item,), wire_bytes=9),))
    loaded = load_plan(dump_plan(plan))
    assert isinstance(loaded, UplinkPlan)
    assert loaded == plan
    assert [(one.local_path, one.remote) for one in (item, *loaded.items)] == [("here/a.txt", "d/b.txt")] * 2


def test_the_lines_are_for_programs_too() -> None:
    lines = [json.loads(line) for line in dump_plan(DOWN).splitlines()]
    head = {"type": "plan", "schema": 1, "direction": "downlink", "files": 2, "bytes": 9, "refused": 0}
    assert lines[0] == head
    assert lines[1]["entry"]["content_tag"] == "-6285199279658827551"


def test_fields_and_lines_of_a_later_version_are_left_out() -> None:
    lines = dump_plan(DOWN).splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "colour": "blue"})
    lines.append('{"type": "weather", "sun": true}')
    assert load_plan("\n".join(lines)) == DOWN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[1]",
        '{"type": "call"}',
        '{"type": "plan", "schema": 2}',
        '{"type": "plan", "schema": 1}',
        dump_plan(DOWN)[:-30],
        "".join(dump_plan(DOWN).splitlines(keepends=True)[:-1]),
        "".join(dump_plan(UP).splitlines(keepends=True)[:2]),
        dump_plan(DOWN).replace('"entry":null', '"entry":7'),
        dump_plan(UP).replace('"dest":"d"', '"dest":"e"'),
        dump_plan(DOWN) + "[" * 100_000,
    ],
)
def test_what_is_no_whole_plan_is_a_value_error(text: str) -> None:
    # sabotage: skip the comparison of counts in load_plan
    with pytest.raises(ValueError):
        load_plan(text)


@pytest.mark.parametrize("local", ["../x", "/etc/passwd", "a/../../x", ""])
def test_an_edited_local_path_does_not_escape(local: str) -> None:
    # sabotage: Path(line["local"]) without local_parts
    text = dump_plan(DOWN).replace('"local":"deep/y"', f'"local":"{local}"')
    if local.startswith("/"):
        plan = load_plan(text)
        assert isinstance(plan, DownlinkPlan)
        assert plan.items[1].local == Path("etc/passwd")  # read as below the destination
    else:
        with pytest.raises(UnsafePathError):
            load_plan(text)


def test_an_unknown_kind_of_error_loads_as_the_base_one() -> None:
    text = dump_plan(UP).replace("TooLargeError", "SomeLaterError")
    assert type(load_plan(text).refused[2].error) is EMError
