"""What the commands make of their arguments, without a process for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import click
import pytest
from click.testing import CliRunner

from emasync.cli import emasync
from emasync.cli.commands.down import DownlinkOptions
from emasync.cli.commands.sync import DeletionOptions
from emasync.cli.commands.up import UplinkOptions
from emasync.cli.options import GlobalOptions
from emasync.cli.transfer_options import TransferOptions


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("demo", ["--files", "--base", "--replace", "EMASYNC_URL", "EMASYNC_PASSWORD"]),
        ("simulator", ["--port", "--user", "--generation", "--exclusive", "--root", "--quiet", "--pod-run"]),
    ],
)
def test_each_command_explains_its_flags(command: str, flags: list[str]) -> None:
    result = CliRunner().invoke(emasync, [command, "--help"], prog_name="emasync")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: emasync {command} ")
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
    monkeypatch.setattr("emasync.cli.commands.simulator.Simulator", lambda **options: _FakeSimulator(handed, options))
    monkeypatch.setattr("anyio.run", lambda *_: None)

    result = CliRunner().invoke(emasync, ["simulator", "--user", "client1:secret", "--user", "client2:a:b:c"])

    assert result.exit_code == 0
    assert handed[0]["users"] == {"client1": "secret", "client2": "a:b:c"}


class _FakeSimulator:
    def __init__(self, handed: list[Any], options: dict[str, Any]) -> None:
        handed.append(options)

    def behaviour(self, *_: object) -> None:
        """Takes what the demo's pod does."""


def _never(*_: Sequence[object]) -> None:
    raise AssertionError("it has begun")


# Sabotage: give a command an option like `--password TEXT`, or `config set` the key `password`: argv is for all to see.
def test_no_option_or_argument_of_any_command_takes_a_password_or_a_token() -> None:
    assert isinstance(emasync, click.Group)
    seen = 0
    for words, command in _commands(emasync, ()):
        for param in command.params:
            seen += 1
            names = " ".join([param.name or "", *param.opts]).lower()
            harmless = isinstance(param.type, click.Path) or (isinstance(param, click.Option) and param.is_flag)
            telling = any(word in names for word in ("password", "token", "secret", "login"))
            assert harmless or not telling or words == ("simulator",), (words, param.opts)
    assert seen > 200
    result = CliRunner().invoke(emasync, ["config", "set", "password", "canary-pw"], prog_name="emasync")
    assert result.exit_code == 2
    assert "canary-pw" not in result.output


@pytest.mark.parametrize(
    ("words", "arguments", "kind"),
    [
        (["ls"], [], GlobalOptions),
        (["up"], ["a"], TransferOptions),
        (["up"], ["a"], UplinkOptions),
        (["down"], ["a"], DownlinkOptions),
        (["sync", "up"], ["a", "b"], DeletionOptions),
    ],
)
def test_what_is_not_given_has_the_default_of_its_field(
    words: list[str], arguments: list[str], kind: type[Any]
) -> None:
    # Sabotage: pass `default` to click only where the help shows it.
    command: click.Command = emasync
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    given = command.make_context("x", arguments).params

    assert {field.name: given[field.name] for field in fields(kind)} == {
        field.name: field.default for field in fields(kind)
    }


def _commands(group: click.Group, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*above, name))
