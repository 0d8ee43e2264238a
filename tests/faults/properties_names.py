"""Properties of listings, names and saved plans: no file is forgotten, written outside, or written over another.

Does no I/O but in one temporary directory.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import unicodedata
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from emasync import ProtocolError
from emasync.disk.safe_paths import name_problem
from emasync.transfer.planning.plan import DownlinkPlan
from emasync.transfer.planning.plan_file import dump_plan, load_plan
from emasync.transfer.planning.selection import plan_downlink
from tests.faults.properties import Property
from tests.unit.wire.listings import file_tree

_HOSTILE: Final = (
    *(
        "..",
        ".",
        "../up",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "c:x",
        "nul",
        "COM1.txt",
        "con .x",
        "x ",
        "x.",
        "\0",
        "\n",
    ),
    *(
        "\u202egnp.exe",
        "\uff0e\uff0e",
        "\uff0fetc",
        "\u2024\u2024",
        "\ud800",
        "\x9b2J",
        ".emasync-1",
        ".EMASYNC-2",
        "-rf",
    ),
    *(
        "A",
        "a",
        "\u00c5",
        "A\u030a",
        "\u212b",
        "ss",
        "\u00df",
        "\u1e9e",
        "\u0130",
        "i\u0307",
        "a" * 256,
        "\u00e9" * 128,
    ),
)
_twins = st.sampled_from(["a", "A", "a/b", "A/B", "\u00c5", "A\u030a", "b", "B"])
_names = st.sampled_from(_HOSTILE) | st.text(max_size=8) | st.text(st.characters(codec=None), max_size=3)
_sizes = st.integers(-5, 2**70) | st.none() | st.text(max_size=3) | st.just("12") | st.floats()


def _listing(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Listings as a server may send them, well formed or not, with folders of any depth."""
    files = st.fixed_dictionaries({"name": names}, optional={"type": st.just("file"), "size": _sizes, "hash": _sizes})

    def folder(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        inside = st.lists(inner, max_size=4)
        return st.fixed_dictionaries({"name": names, "type": st.just("directory")}, optional={"contents": inside})

    return st.lists(st.recursive(files, folder, max_leaves=10), max_size=6)


_listings = _listing(_names) | _listing(_twins)


def _walked(entries: list[dict[str, Any]], above: str = "") -> Iterator[str]:
    """The paths of all files in a listing, read without the code under test."""
    for entry in entries:
        path = f"{above}/{entry['name']}"
        if entry.get("type") == "directory":
            yield from _walked(entry.get("contents", []), path)
        else:
            yield "/".join(part for part in path.split("/") if part not in ("", "."))


def _any_listing(entries: list[dict[str, Any]]) -> bool:
    try:
        tree = file_tree({"data": deepcopy(entries)})
    except ProtocolError:
        return True  # a name that is empty
    paths = set(_walked(entries))
    unlisted = [str(folder) for folder in tree.unknown_folders]
    assert {entry.path for entry in tree} == paths, "a listed file is forgotten, or invented"
    assert all(entry.size is None or entry.size >= 0 for entry in tree)
    plan = plan_downlink(["/"], tree)
    named = [file.remote for file in plan.refused if not isinstance(file.error, ProtocolError)]
    _counted([item.remote for item in plan.items] + named, paths, plan)
    dark = [str(file.remote) for file in plan.refused if isinstance(file.error, ProtocolError)]
    assert sorted(dark) == sorted(unlisted), "a folder that is not listed is passed over"
    _lands_inside_and_alone([item.local for item in plan.items])
    again = load_plan(dump_plan(plan))
    assert isinstance(again, DownlinkPlan)
    assert [item.local for item in again.items] == [item.local for item in plan.items]
    return bool(plan.refused)


def _counted(ends: list[Any], paths: set[str], plan: DownlinkPlan) -> None:
    if "" in paths and not plan.items and len(ends) == 1:
        return  # a file in the root's own place: refused as a whole
    assert sorted(ends) == sorted(paths), "counts in are not counts out"


def _lands_inside_and_alone(places: list[Path]) -> None:
    below = Path("/into")
    taken: set[str] = set()
    for place in places:
        whole = Path(os.path.normpath(below / place))
        assert whole != below
        assert whole.is_relative_to(below), f"{place} leads outside"
        assert not any(set(part) & set("\\:\0") for part in place.parts)
        key = unicodedata.normalize("NFC", place.as_posix()).casefold()
        assert key not in taken, f"{place}: two files in one place"
        taken.add(key)
    for key in taken:
        above = key.rpartition("/")[0]
        assert above not in taken, f"{above} is both a file and a folder"


def _any_name(name: str) -> bool:
    """A file with an accepted name can be made on this machine, and is listed under the same name."""
    if name_problem(name) is not None:
        return True
    with tempfile.TemporaryDirectory(prefix="names-") as folder:
        (Path(folder) / name).write_bytes(b"x")
        assert os.listdir(folder) == [name]  # noqa: PTH208 -- the bare names, as the system has them
    return False


def _damaged_plan(made: tuple[list[dict[str, Any]], int]) -> bool:
    entries, chance = made
    rng = random.Random(chance)
    try:
        lines = dump_plan(plan_downlink(["/"], file_tree({"data": entries}))).splitlines()
    except ProtocolError:
        return True
    files = [number for number, line in enumerate(lines) if '"type":"file"' in line]
    at = rng.choice(files) if files and rng.random() < 0.7 else rng.randrange(len(lines))
    value = json.loads(lines[at])
    key = "local" if "local" in value and rng.random() < 0.7 else rng.choice(sorted(value))
    value[key] = rng.choice((None, 0, -1, "", "..", "/etc/x", "a/../../b", [], {}, True, 1.5, "x" * 300, "\ud800"))
    cut = lines[at][: rng.randrange(len(lines[at]) + 1)]
    lines[at] = json.dumps(value) if rng.random() < 0.8 else rng.choice((cut, "", "[]", "null"))
    try:
        plan = load_plan("\n".join(lines))
    except ValueError:
        return True
    assert isinstance(plan, DownlinkPlan)
    for item in plan.items:
        whole = Path(os.path.normpath(Path("/into") / item.local))
        assert whole.is_relative_to("/into"), f"{item.local} leads outside"
        assert whole != Path("/into"), f"{item.local} is no file"
    return True


# sabotage of each, where it belongs (all tried): lose a file in file_tree, leave case_fold_key or `needed` out of
# _landing, or ".." out of both rules of _plain_problem | drop its check of the length | do not call local_parts in
# load_plan.
NAMES: Final[tuple[Property[Any], ...]] = (
    Property(name="any listing is planned to the last file, inside and apart", inputs=_listings, holds=_any_listing),
    Property(name="any name that passes can be written", inputs=_names, holds=_any_name),
    Property(
        name="a damaged plan is a ValueError or harmless",
        inputs=st.tuples(_listings, st.integers(0, 2**32)),
        holds=_damaged_plan,
    ),
)
