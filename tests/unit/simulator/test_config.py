from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints

from emasync.simulator.config import SimulatorConfig, SimulatorKeywords


def test_a_type_checker_knows_every_field_of_the_config_as_a_keyword() -> None:
    hints = get_type_hints(SimulatorConfig)
    assert get_type_hints(SimulatorKeywords) == {field.name: hints[field.name] for field in fields(SimulatorConfig)}
