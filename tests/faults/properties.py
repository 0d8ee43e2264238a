"""A property: inputs without end, and what holds of each of them; run by pytest with few, by the torture with many.

Owns: the value and the one way to run it, repeatable from a seed. May import hypothesis. Knows no property.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property(Generic[T]):
    """`holds` raises for an input that breaks it, else says whether the input was a bad one, of which nothing good may
    come (and not merely an unusual one)."""

    name: str
    inputs: st.SearchStrategy[T]
    holds: Callable[[T], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What came of running one property: `failure` has the smallest input that was found to break it."""

    tries: int
    bad_inputs: int
    failure: str | None = None


def run(one: Property[T], *, examples: int, seeded: int) -> Tally:
    """At least `examples` inputs, always the same for one `seeded`."""
    tries = bad = 0
    last: object = None

    def check(value: T) -> None:
        nonlocal tries, bad, last
        tries += 1
        last = value
        bad += one.holds(value)

    phases = (Phase.generate, Phase.shrink)
    checks = list(HealthCheck)
    of_this = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=checks,
        print_blob=False,
    )
    try:
        seed(seeded)(of_this(given(one.inputs)(check)))()
    except Exception as error:  # noqa: BLE001 -- whatever breaks a property is its failure
        told = f"{one.name}: {type(error).__name__}: {error}; input {last!r:.2000}; seed {seeded}, {examples} examples"
        return Tally(tries=tries, bad_inputs=bad, failure=told)
    return Tally(tries=tries, bad_inputs=bad)
