"""Packing an uplink: every file once, no call above the limits, as few calls as can be."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emasync.config import Limits
from emasync.disk.fingerprint import Fingerprint
from emasync.errors import NotFoundError, TooLargeError, UnsafePathError
from emasync.model import RemotePath
from emasync.transfer.planning.packing import calls_for_target, pack, plan_uplink
from emasync.transfer.planning.plan import LocalFile, RejectedFile, UplinkPlan

MB = 1_000_000
numbers = itertools.count(1)


def found(path: str, size: int = 10, *, local: str | None = None, inode: int | None = None) -> LocalFile:
    mark = next(numbers) if inode is None else inode
    return LocalFile(
        directory=(local or f"here/{path}").removesuffix(RemotePath(path).name),
        relative=RemotePath(path),
        fingerprint=Fingerprint(size=size, mtime_ns=1, ctime_ns=1, inode=mark, device=1),
    )


def refused(plan: UplinkPlan) -> dict[str, str]:
    return {one.remote: str(one.error) for one in plan.refused}


def lower_bound(weights: list[int], max_weight: int, max_count: int) -> int:
    return max(-(-len(weights) // max_count), -(-sum(weights) // max_weight))


@given(
    weights=st.sampled_from([1, 8, 100]).flatmap(lambda most: st.lists(st.integers(0, most), max_size=60)),
    max_count=st.integers(1, 12),
    at_least=st.integers(1, 9),
)
@example(weights=[100, 1, 1, 1], max_count=2, at_least=1)  # the light bin is full by count long before it is by weight
@example(weights=[25, 26, 90, 38], max_count=2, at_least=1)  # no even spread fits, and first-fit meets a full count
@settings(max_examples=150, deadline=None)
def test_packing_takes_every_item_once_and_keeps_the_limits(weights: list[int], max_count: int, at_least: int) -> None:
    # sabotage: drop the heappop of full bins in _even, or set room[node] without the count in _first_fit
    bins = pack(weights, max_weight=100, max_count=max_count, at_least=at_least)
    assert sorted(index for members in bins for index in members) == list(range(len(weights)))
    for members in bins:
        assert 0 < len(members) <= max_count
        assert sum(weights[index] for index in members) <= 100
    # any-fit: of the bins that are not full by count, at most one is half empty or less
    bound = len(weights) // max_count + 2 * (-(-sum(weights) // 100)) + 1
    assert len(bins) <= max(bound, at_least)
    assert bins == pack(weights, max_weight=100, max_count=max_count, at_least=at_least)


def fewest_by_trying(weights: list[int], max_weight: int, max_count: int) -> int:
    best = len(weights)

    def place(index: int, bins: list[tuple[int, int]]) -> None:
        nonlocal best
        if len(bins) >= best:
            return
        if index == len(weights):
            best = len(bins)
            return
        for number, (load, count) in enumerate(bins):
            if load + weights[index] <= max_weight and count < max_count:
                place(index + 1, [*bins[:number], (load + weights[index], count + 1), *bins[number + 1 :]])
        place(index + 1, [*bins, (weights[index], 1)])

    place(0, [])
    return best


@given(weights=st.lists(st.integers(0, 100), min_size=1, max_size=7), max_count=st.integers(2, 7))
@example(weights=[26, 0, 16, 34, 51, 65, 76, 82], max_count=2)
@settings(max_examples=80, deadline=None)
def test_packing_stays_within_the_guarantee_of_first_fit_decreasing(weights: list[int], max_count: int) -> None:
    # sabotage: sort `order` by index instead of by weight
    optimum = fewest_by_trying(weights, 100, max_count)
    assert len(pack(weights, max_weight=100, max_count=max_count)) <= 11 / 9 * optimum + 1


def test_many_empty_files_beside_full_ones_still_meet_the_lower_bound() -> None:
    # first-fit-decreasing alone fills the first bin by weight and needs a third one for the count
    weights = [10] * 10 + [1] * 190
    bins = pack(weights, max_weight=150, max_count=100)
    assert len(bins) == lower_bound(weights, 150, 100) == 2


def test_first_fit_takes_over_where_an_even_spread_does_not_fit() -> None:
    # thirds and halves: only pairs and triples of a kind fill a bin
    weights = [50] * 2 + [33] * 3 + [34, 33, 33]
    assert len(pack(weights, max_weight=100, max_count=9)) == 3


def test_three_hundred_small_files_in_twelve_folders_are_twelve_calls() -> None:
    plan = plan_uplink(found(f"d{n % 12}/f{n}", 5000) for n in range(300))
    assert len(plan.calls) == 12
    assert all(len(call.items) == 25 for call in plan.calls)


def test_two_hundred_and_fifty_files_in_one_folder_are_three_calls() -> None:
    plan = plan_uplink((found(f"d/f{n}", 5000) for n in range(250)), target_bytes=64 * MB)
    assert len(plan.calls) == 3
    assert max(len(call.items) for call in plan.calls) <= 100


def test_no_call_is_above_the_byte_limit_when_the_overhead_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # sabotage: leave `part_overhead` out of the weights
    monkeypatch.setattr("emasync.transfer.planning.packing._FIELDS", 500)
    monkeypatch.setattr("emasync.transfer.planning.packing.part_overhead", lambda name: 100)
    limits = Limits(uplink_call=10_000)
    plan = plan_uplink((found(f"d/f{n}", 900) for n in range(50)), limits=limits)
    assert all(call.wire_bytes <= 10_000 for call in plan.calls)
    assert all(call.wire_bytes == 500 + sum(1000 for _ in call.items) for call in plan.calls)
    assert len(plan.calls) == lower_bound([1000] * 50, 9500, 100)


def test_a_file_above_the_limit_is_refused_and_one_of_exactly_the_limit_goes_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emasync.transfer.planning.packing._FIELDS", 10)
    limits = Limits(uplink_call=1000)
    plan = plan_uplink([found("a", 1001), found("b", 1000), found("c", 1)], limits=limits)
    assert isinstance(plan.refused[0].error, TooLargeError)
    assert refused(plan) == {"a": "a has 1,001 bytes; one uplink call takes at most 1,000"}
    assert [[item.remote for item in call.items] for call in plan.calls] == [["b"], ["c"]]


def test_large_calls_come_first_and_the_order_is_the_same_for_any_order_of_sources() -> None:
    files = [found(f"d{n % 3}/f{n}", n * 1000) for n in range(30)]
    plan, again = plan_uplink(files), plan_uplink(reversed(files))
    assert plan == again
    sizes = [call.wire_bytes for call in plan.calls]
    assert sizes == sorted(sizes, reverse=True)


def test_a_target_splits_big_folders_and_leaves_small_ones_whole() -> None:
    # sabotage: replace round() in calls_for_target by a ceiling, and the folder of 1.2 targets is split
    def calls(sizes: list[int]) -> int:
        plan = plan_uplink((found(f"d/f{n}", size) for n, size in enumerate(sizes)), target_bytes=50 * MB)
        return len(plan.calls)

    assert calls([MB] * 60) == 1
    assert calls([10 * MB] * 20) == 4
    assert calls([300 * MB, MB, MB]) == 1  # the small ones ride along
    assert calls([300 * MB, 300 * MB]) == 2  # above the hard limit together
    assert calls_for_target([], 10) == 1


def test_a_call_of_a_split_folder_is_at_most_half_as_much_again_as_the_target() -> None:
    plan = plan_uplink((found(f"d/f{n}", MB + n) for n in range(400)), target_bytes=40 * MB)
    assert max(call.wire_bytes for call in plan.calls) <= 60 * MB


def test_different_files_for_one_target_are_all_refused() -> None:
    # sabotage: keep claims[0] in _one_per_target
    plan = plan_uplink([found("a.txt", local="x/a.txt"), found("a.txt", local="y/a.txt"), found("b.txt")])
    assert [item.remote for item in plan.items] == ["b.txt"]
    assert [one.local for one in plan.refused] == [Path("x/a.txt"), Path("y/a.txt")]
    assert "x/a.txt and y/a.txt" in refused(plan)["a.txt"]


def test_the_same_file_named_twice_is_sent_once() -> None:
    plan = plan_uplink([found("a", inode=7), found("a", inode=7, local="./other/spelling/a")])
    assert plan.files == 1
    assert not plan.refused


def test_files_without_inode_numbers_are_not_taken_for_one() -> None:
    plan = plan_uplink([found("a", inode=0, local="x/a"), found("a", inode=0, local="y/a")])
    assert len(plan.refused) == 2


def test_a_file_gives_way_to_a_folder_of_its_name() -> None:
    plan = plan_uplink([found("a/b"), found("a/b/c/d"), found("a/bb")])
    assert refused(plan) == {"a/b": "a/b cannot be a file: it is the folder of a/b/c/d"}
    assert plan.files == 2


def test_twins_by_case_or_accents_go_up_with_a_note() -> None:
    plan = plan_uplink([found("Read.me"), found("read.me"), found("caf\u00e9"), found("cafe\u0301")])
    assert plan.files == 4
    assert len(plan.notes) == 2


@pytest.mark.parametrize("path", ["a&amp;b", "d/tab\tname", " lead/x", "d/line\nend/x", "d/bidi\u202ename"])
def test_names_that_would_not_arrive_as_they_are_are_refused(path: str) -> None:
    plan = plan_uplink([found(path)])
    assert isinstance(plan.refused[0].error, UnsafePathError)
    assert not plan.calls


def test_refusals_and_notes_of_the_scan_stay_in_the_plan_below_the_destination() -> None:
    gone = RejectedFile(remote=RemotePath("gone"), local=Path("gone"), error=NotFoundError("gone does not exist"))
    plan = plan_uplink([found("a")], dest="/echo-test/", refused=[gone], notes=["look"])
    assert refused(plan) == {"echo-test/gone": "gone does not exist"}
    assert plan.calls[0].dest == "echo-test"
    assert plan.items[0].remote == "echo-test/a"
    assert plan.notes == ("look",)


def test_a_plan_describes_itself_in_one_line() -> None:
    plan = plan_uplink([found(f"d{n % 9}/f{n}", 332_432) for n in range(37)] + [found("big", 501 * MB)])
    assert plan.describe() == "37 files, 9 calls, 12.3 MB, 1 refused"
    assert plan_uplink([]).describe() == "0 files, 0 calls, 0 B"
    assert plan_uplink([found("a", 999_999)]).describe() == "1 file, 1 call, 1.0 MB"


def test_senseless_limits_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_uplink([], limits=Limits(uplink_files=0))
    with pytest.raises(ValueError, match="at least 1"):
        plan_uplink([], target_bytes=0)


def test_thirty_thousand_files_are_planned_at_once() -> None:
    files = [found(f"d{n % 6000}/f{n}", n * 7919 % 50_000_000) for n in range(30_000)]
    plan = plan_uplink(files)
    # No figure here: the time limit of every test is the guard, something quadratic takes minutes.
    assert plan.files == 30_000


def test_first_fit_over_many_bins_is_not_quadratic() -> None:
    # sabotage: a linear search for the bin makes this minutes
    weights = [51 + n % 40 for n in range(30_000)]
    assert len(pack(weights, max_weight=100, max_count=9)) == 30_000
    # No figure here: the time limit of every test is the guard, something quadratic takes minutes.
