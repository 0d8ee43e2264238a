"""The command itself: version, help, what is not a command, and a terminal that cannot write every character."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync import __version__
from tests.cli.child import EMASYNC, run


def test_version_is_one_line_with_the_name_and_the_number(home: Path) -> None:
    result = run(*EMASYNC, "--version", home=home)

    assert (result.returncode, result.stdout, result.stderr) == (0, f"emasync {__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command(home: Path, flag: str) -> None:
    result = run(*EMASYNC, flag, home=home)

    assert result.returncode == 0
    assert {"demo", "simulator"} <= {line.split()[0] for line in result.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize("arguments", [["uplnk"], ["demo", "--fast"]])
def test_misuse_is_exit_2_with_a_way_out_on_stderr(home: Path, arguments: list[str]) -> None:
    result = run(*EMASYNC, *arguments, home=home)

    assert (result.returncode, result.stdout) == (2, "")
    assert arguments[-1] in result.stderr
    assert "--help" in result.stderr


def test_help_does_not_import_what_it_does_not_need(home: Path) -> None:
    # Sabotage: import the commands at the top of emasync/cli/main.py.
    heavy = "import sys, emasync.cli; sys.exit(any(name in sys.modules for name in ('rich', 'emasync.simulator')))"

    assert run("-c", heavy, home=home).returncode == 0
