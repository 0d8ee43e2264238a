"""A property: generated inputs, and what holds for each of them; pytest runs few inputs, the torture program many.

Has the value and the function that runs it, repeatable from a seed; contains no property itself.
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
    """`holds` raises for an input that violates the property, else returns whether the input was invalid (and not
    merely unusual)."""

    name: str
    inputs: st.SearchStrategy[T]
    holds: Callable[[T], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The result of running one property: `failure` has the smallest input that was found to violate it."""

    tries: int
    bad_inputs: int
    failure: str | None = None


def run(prop: Property[T], *, examples: int, seeded: int) -> Tally:
    """Run `prop` with at least `examples` inputs, always the same ones for one `seeded`."""
    tries = bad = 0
    last: object = None

    def check(value: T) -> None:
        nonlocal tries, bad, last
        tries += 1
        last = value
        bad += prop.holds(value)

    phases = (Phase.generate, Phase.shrink)
    checks = list(HealthCheck)
    run_settings = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=checks,
        print_blob=False,
    )
    try:
        seed(seeded)(run_settings(given(prop.inputs)(check)))()
    except Exception as error:  # noqa: BLE001 -- any exception is a violation of the property
        message = (
            f"{prop.name}: {type(error).__name__}: {error}; input {last!r:.2000}; seed {seeded}, {examples} examples"
        )
        return Tally(tries=tries, bad_inputs=bad, failure=message)
    return Tally(tries=tries, bad_inputs=bad)
