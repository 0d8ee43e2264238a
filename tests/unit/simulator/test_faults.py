from __future__ import annotations

import random
from typing import Any

import pytest

from emasync.simulator import Fault, FaultList


def hits(fault: Fault, *, requests: int = 12, seed: int = 0) -> list[int]:
    faults = FaultList([fault], rng=random.Random(seed))
    return [number for number in range(requests) if faults.decide("em/files/list") is fault]


def test_a_fault_hits_one_request_by_default() -> None:
    assert hits(Fault("busy_before")) == [0]


def test_times_after_and_every_count_matching_requests() -> None:
    assert hits(Fault("busy_before", times=2)) == [0, 1]
    assert hits(Fault("busy_before", after=3, times=2)) == [3, 4]
    assert hits(Fault("busy_before", every=3, times=None)) == [2, 5, 8, 11]
    assert hits(Fault("busy_before", after=1, every=3, times=2)) == [3, 6]


def test_probability_follows_the_seed() -> None:
    fault = Fault("busy_before", probability=0.5, times=None)
    assert hits(fault, requests=100, seed=1) == hits(fault, requests=100, seed=1)
    assert hits(fault, requests=100, seed=1) != hits(fault, requests=100, seed=2)
    assert 30 < len(hits(fault, requests=100)) < 70


@pytest.mark.parametrize(
    ("pattern", "endpoint", "matches"),
    [
        (None, "em/files/list", True),
        (None, "auth/", False),
        ("auth/", "auth/", True),
        ("auth", "auth/", True),
        ("em/pod/*", "em/pod/image/build", True),
        ("em/pod/*", "em/files/list", False),
        ("em/files/list", "em/files/list", True),
    ],
)
def test_an_endpoint_may_be_a_pattern(pattern: str | None, endpoint: str, *, matches: bool) -> None:
    assert Fault("error_500", endpoint=pattern).matches(endpoint) is matches


def test_the_first_fault_that_is_due_wins() -> None:
    faults = FaultList([Fault("busy_before", times=1)], rng=random.Random(0))
    faults.add(Fault("error_500"), Fault("html_502"))
    kinds = [fault.kind if (fault := faults.decide("em/x")) else None for _ in range(4)]
    assert kinds == ["busy_before", "error_500", "html_502", None]


def test_a_cleared_list_hits_no_request() -> None:
    faults = FaultList([Fault("busy_before", times=None)], rng=random.Random(0))
    assert len(list(faults)) == 1
    faults.clear()
    assert faults.decide("em/x") is None


@pytest.mark.parametrize("wrong", [{"every": 0}, {"after": -1}, {"probability": 2.0}, {"rate": 0.0}])
def test_a_senseless_fault_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="every"):
        Fault("stall", **wrong)


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such fault 'tea_break'"):
        Fault("tea_break")  # type: ignore[arg-type]
