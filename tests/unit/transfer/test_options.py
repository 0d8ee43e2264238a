"""`TransferOptions` refuse what makes no sense, before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from emasync.transfer.events import Event, Noted
from emasync.transfer.options import TransferOptions

GOOD: dict[str, Any] = {"workers": 1, "overwrite": "replace", "verify": "content"}


@pytest.mark.parametrize("bad", [{"workers": 0}, {"workers": True}, {"overwrite": "yes"}, {"verify": True}])
def test_an_option_that_makes_no_sense_is_a_value_error_that_names_it(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        TransferOptions(**(GOOD | bad))


def test_events_go_to_whoever_asked_for_them() -> None:
    told: list[Event] = []
    TransferOptions(**GOOD).notify(Noted(text="nobody listens"))
    TransferOptions(**GOOD, on_event=told.append).notify(Noted(text="hello"))
    assert told == [Noted(text="hello")]
