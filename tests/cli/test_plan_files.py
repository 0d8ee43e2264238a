"""``--plan FILE`` and ``--apply FILE``, and what a dry run and a check say of files that cannot be moved."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from emasync.cli import emasync as root
from tests.cli.child import EM, EMASYNC, emasync, run


def sources(home: Path) -> None:
    (home / "data/sub").mkdir(parents=True)
    (home / "data/a").write_text("one")
    (home / "data/sub/b").write_text("three")


def test_a_plan_moves_nothing_and_carrying_it_out_elsewhere_moves_all(own_em: EM, home: Path, folder: str) -> None:
    # Sabotage: save_plan writes the paths as they were given: applied in another folder, no source is found.
    sources(home)
    (home / "elsewhere").mkdir()

    plan = emasync(own_em, home, "up", "data/", "--to", folder, "--plan", "up.plan")
    assert (plan.returncode, plan.stdout) == (0, "plan: 2 files, 8 B, in up.plan\n"), plan.stderr
    assert not (own_em.volume / folder).exists()

    applied = run(*EMASYNC, "up", "--apply", "../up.plan", home=home / "elsewhere", env=own_em.login)
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.startswith("2 files, 8 B in ")
    assert (own_em.volume / folder / "sub/b").read_text() == "three"

    down = emasync(own_em, home, "down", f"{folder}/", EMASYNC_PLAN="down.plan")
    assert (down.returncode, down.stdout) == (0, "plan: 2 files, 8 B, in down.plan\n"), down.stderr
    assert emasync(own_em, home, "down", "--apply", "down.plan", "--into", "out").returncode == 0
    assert (home / "out/sub/b").read_text() == "three"
    assert not [path.name for path in home.iterdir() if path.name.startswith(".emasync")]


def test_a_plan_on_stdout_is_json_lines_and_nothing_else(own_em: EM, home: Path, folder: str) -> None:
    sources(home)
    os.mkfifo(home / "data/pipe")
    plan = emasync(own_em, home, "up", "data/", "--to", folder, "--plan", "-")
    found = [json.loads(line) for line in plan.stdout.splitlines()]
    assert [line["type"] for line in found] == ["plan", "call", "call", "refused"]
    assert "pipe" in plan.stderr
    assert plan.returncode != 0  # as carrying it out would end


def test_a_source_that_changed_since_the_plan_is_not_sent_as_something_else(
    own_em: EM, home: Path, folder: str
) -> None:
    sources(home)
    emasync(own_em, home, "up", "data/", "--to", folder, "--plan", "up.plan")
    (home / "data/a").write_text("another length")
    applied = emasync(own_em, home, "up", "--apply", "up.plan")
    assert applied.returncode == 6
    assert f"{folder}/a" in applied.stderr
    assert not (own_em.volume / folder / "a").exists()
    assert (own_em.volume / folder / "sub/b").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--apply", "down.plan"], "a plan of the other direction: emasync down --apply down.plan"),
        (["down", "--apply", "cut.plan"], "not complete"),
        (["down", "--apply", "none.plan"], "none.plan"),
        (["up"], "name SOURCES, or a plan with --apply FILE"),
        (["up", "x", "--apply", "down.plan"], "leave out SOURCES"),
        (["down", "--apply", "down.plan", "--include", "*.txt"], "leave out --include"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_says_why(own_em: EM, home: Path, words: list[str], said: str) -> None:
    (own_em.volume / "plan-errors.txt").write_text("text")
    assert emasync(own_em, home, "down", "plan-errors.txt", "--plan", "down.plan").returncode == 0
    (home / "cut.plan").write_text((home / "down.plan").read_text().splitlines()[0] + "\n")
    result = emasync(own_em, home, *words)
    assert result.returncode in (2, 3)
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_dry_run_and_a_check_name_the_files_that_cannot_be_sent(own_em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave `await run.refuse(...)` out of the dry run in sync.py.
    sources(home)
    emasync(own_em, home, "up", "data/", "--to", folder)
    os.mkfifo(home / "data/pipe")

    dry = emasync(own_em, home, "sync", "up", "data", folder, "--dry-run", "--json")
    told = [json.loads(line) for line in dry.stdout.splitlines()]
    assert [(line["action"], line["path"]) for line in told if line.get("action") == "refuse"] == [
        ("refuse", f"{folder}/pipe")
    ]
    assert (dry.returncode, told[-1]["type"]) == (6, "exit")

    check = emasync(own_em, home, "check", "data", folder)
    assert check.returncode == 1
    assert f"! {folder}/pipe" in check.stdout
    assert check.stdout.count("= ") == 2


def test_overwrite_error_does_not_take_the_files_of_its_own_first_run_for_somebody_elses(
    own_em: EM, home: Path, folder: str
) -> None:
    # Sabotage: `ours = frozenset()` in engine._spared.
    sources(home)
    (home / "data/late").symlink_to(home / "nowhere")
    words = ("up", "data/", "--to", folder, "--overwrite", "error")
    first = emasync(own_em, home, *words)
    assert first.returncode != 0  # the link leads nowhere
    (home / "data/late").unlink()
    (home / "data/late").write_text("late")

    second = emasync(own_em, home, *words)
    assert second.returncode == 0, second.stderr
    assert (own_em.volume / folder / "late").read_text() == "late"

    (own_em.volume / folder / "a").write_text("somebody else's")
    third = emasync(own_em, home, *words)
    assert third.returncode == 1
    assert "is on the EM already" in third.stderr


def test_completing_the_name_of_a_command_imports_no_command() -> None:
    # Sabotage: remove `LazyGroup.shell_complete`.
    script = "\n".join(
        [
            "import sys",
            "from emasync.cli import emasync",
            "from click.shell_completion import BashComplete",
            "found = BashComplete(emasync, {}, 'emasync', 'X').get_completions([], 'do')",
            "assert [item.value for item in found] == ['doctor', 'down'], found",
            "assert not [name for name in sys.modules if name.startswith(('aiohttp', 'emasync.cli.commands'))]",
        ]
    )
    result = run("-c", script, home=Path.cwd())
    assert result.returncode == 0, result.stderr


def test_help_shows_the_plan_flags() -> None:
    for command in ("up", "down"):
        assert "--apply FILE" in CliRunner().invoke(root, [command, "--help"]).output
