"""What the verbs make of their arguments, without a process for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from click.testing import CliRunner

from emasync.cli import emasync


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        ("demo", ["--files", "--base", "--replace", "EMASYNC_URL", "EMASYNC_PASSWORD"]),
        ("simulator", ["--port", "--user", "--generation", "--exclusive", "--root", "--quiet", "--pod-run"]),
    ],
)
def test_each_verb_explains_its_flags(verb: str, flags: list[str]) -> None:
    result = CliRunner().invoke(emasync, [verb, "--help"], prog_name="emasync")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: emasync {verb} ")
    assert [flag for flag in flags if flag not in result.stdout] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--files", "0"],
        ["demo", "--files", "many"],
        ["demo", "extra"],
        ["simulator", "--user", "client1"],
        ["simulator", "--user", ":secret"],
        ["simulator", "--user", "client1:"],
        ["simulator", "--user", ""],
        ["simulator", "--port", "65536"],
        ["simulator", "--generation", "next"],
        ["simulator", "--bandwidth", "0"],
        ["simulator", "--latency", "-1"],
        ["simulator", "--token-lifetime", "0"],
    ],
)
def test_misuse_is_exit_2_before_anything_has_begun(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyio.run", _never)

    result = CliRunner().invoke(emasync, arguments, prog_name="emasync")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")


def test_a_password_may_hold_colons_and_there_may_be_several_users(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Any] = []
    monkeypatch.setattr("emasync.cli.simulator.Simulator", lambda **knobs: _Box(handed, knobs))
    monkeypatch.setattr("anyio.run", lambda *_: None)

    result = CliRunner().invoke(emasync, ["simulator", "--user", "client1:secret", "--user", "client2:a:b:c"])

    assert result.exit_code == 0
    assert handed[0]["users"] == {"client1": "secret", "client2": "a:b:c"}


class _Box:
    def __init__(self, handed: list[Any], knobs: dict[str, Any]) -> None:
        handed.append(knobs)

    def behaviour(self, *_: object) -> None:
        """Takes what the demo's pod does."""


def _never(*_: Sequence[object]) -> None:
    raise AssertionError("it has begun")
