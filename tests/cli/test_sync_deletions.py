"""What a sync deletes, as its users meet it: the question, the refusals, the exit codes, and what remains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.child import EM, EMASYNC, emasync
from tests.cli.terminal import on_terminal
from tests.cli.test_transfers import make

QUESTION = b"[y/N]"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Sabotage: leave out `check_is_folder` (or `check_no_file`) in sync_sides.py: exit 0, and the folder is empty.
def test_a_mistyped_remote_is_exit_3_and_a_file_is_exit_2_and_nothing_is_deleted(
    em: EM, home: Path, folder: str
) -> None:
    make(em.volume / folder / "results", a="1")
    make(home / "out", thesis="precious")
    typo = emasync(em, home, "sync", "down", f"{folder}/resluts", "out", "--delete", "-y", "--allow-empty-source")
    assert (typo.returncode, typo.stdout) == (3, "")
    assert f"there is {folder}/results" in typo.stderr
    file = emasync(em, home, "sync", "down", f"{folder}/results/a", "out", "--delete", "-y")
    assert (file.returncode, file.stdout) == (2, "")
    assert names(home / "out") == ["thesis"]


def test_a_local_source_that_is_missing_is_exit_3(em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave `lexists` out of `scan_source`.
    make(em.volume / folder, a="1")
    result = emasync(em, home, "sync", "up", "mistyped", folder, "--delete", "-y", "--allow-empty-source")
    assert result.returncode == 3
    assert names(em.volume / folder) == ["a"]


# Sabotage: let `yes` stand for `allow_empty_source` in DeletionOptions.keywords.
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("flags", [[], ["-y"], ["-y", "--json"]])
def test_an_empty_source_is_refused_and_y_does_not_imply_it(
    em: EM, home: Path, folder: str, way: str, flags: list[str]
) -> None:
    full, empty = (em.volume / folder, home / "here") if way == "up" else (home / "here", em.volume / folder)
    make(full, a="1", sub__b="2")
    empty.mkdir()
    words = ["sync", way, *(["here", folder] if way == "up" else [folder, "here"]), "--delete", *flags]
    result = emasync(em, home, *words)
    assert result.returncode == 1
    assert "--allow-empty-source" in result.stderr
    assert names(full) == ["a", "sub/b"]
    if "--json" in flags:
        assert json.loads(result.stdout.splitlines()[-1])["code"] == 1
    agreed = emasync(em, home, *words, "--allow-empty-source")
    assert agreed.returncode == 0, agreed.stderr
    assert names(full) == []
    if "--json" not in flags:
        assert f"2 deleted {'on the EM' if way == 'up' else 'here'}" in agreed.stdout


# Sabotage: ask after the transfer, or take no answer for a yes.
@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
@pytest.mark.parametrize("progress", ["tty", "none"])
def test_at_a_terminal_a_sync_that_deletes_asks_once_before_anything_moves(
    em: EM, home: Path, folder: str, answer: bytes, code: int, progress: str
) -> None:
    make(em.volume / folder, old="123")
    make(home / "here", new="12345")
    words = ["sync", "up", "here", folder, "--delete", "--progress", progress]
    ended, shown = on_terminal(*EMASYNC, *words, home=home, env=em.login, when={QUESTION: answer})
    assert ended == code, shown
    text = shown.decode().replace("\r", "").replace("\n", " ")
    assert f"1 files (5 B) on this machine (here), 1 (3 B) on the EM ({folder})" in text
    assert "Copy 1 files (5 B) and delete 1 (3 B) on the EM?" in text
    assert text.count("[y/N]") == 1
    assert names(em.volume / folder) == (["new"] if code == 0 else ["old"])


def test_a_question_about_an_empty_source_says_so_and_a_yes_is_consent(em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave the warning out of `deletion_question`.
    make(em.volume / folder, old="123")
    (home / "here").mkdir()
    words = ["sync", "up", "here", folder, "--delete"]
    ended, shown = on_terminal(*EMASYNC, *words, home=home, env=em.login, when={QUESTION: b"y\n"})
    assert ended == 0, shown
    assert b"EMPTY" in shown
    assert names(em.volume / folder) == []


@pytest.mark.parametrize("flags", [["-y"], ["--json"], []])
def test_nothing_is_asked_with_y_or_json_or_where_nothing_is_to_be_deleted(
    em: EM, home: Path, folder: str, flags: list[str]
) -> None:
    make(em.volume / folder, same="1", **({"old": "123"} if flags else {}))
    make(home / "here", same="1")
    words = ["sync", "up", "here", folder, "--delete", *flags]
    ended, shown = on_terminal(*EMASYNC, *words, home=home, env=em.login)
    assert ended == 0, shown
    assert QUESTION not in shown
    assert names(em.volume / folder) == ["same"]


def test_ctrl_c_at_the_question_ends_the_command_and_nothing_moved(em: EM, home: Path, folder: str) -> None:
    # Sabotage: read the answer in a thread that blocks.
    make(em.volume / folder, old="123")
    make(home / "here", new="12345")
    words = ["sync", "up", "here", folder, "--delete"]
    ended, _ = on_terminal(
        *EMASYNC, *words, home=home, env=em.login, when={QUESTION: lambda process: process.send_signal(2)}
    )
    assert ended == 130
    assert names(em.volume / folder) == ["old"]


def test_a_dry_run_says_that_an_empty_source_needs_consent(em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave `without_deletions` out of `_decide`.
    make(em.volume / folder, old="123")
    (home / "here").mkdir()
    dry = emasync(em, home, "sync", "up", "here", folder, "--delete", "--dry-run")
    assert dry.returncode == 1
    assert "--allow-empty-source" in dry.stdout
    assert emasync(em, home, "sync", "up", "here", folder, "--delete", "-n", "--allow-empty-source").returncode == 0


def test_an_empty_path_beside_delete_is_misuse(em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave out `check_remote`, or the look at an empty text in `local_folder`.
    make(em.volume / folder, old="123")
    make(home, precious="1")
    for words in (["up", ".", ""], ["down", "", "."], ["down", folder, ""], ["up", "", folder]):
        result = emasync(em, home, "sync", *words, "--delete", "-y")
        assert (result.returncode, result.stdout) == (2, ""), words
    assert names(em.volume / folder) == ["old"]
    assert (home / "precious").exists()


def test_a_job_whose_deletions_were_declined_is_not_resumed(em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave the look at `--delete` out of jobs_resume.py: what was answered with no is done.
    make(em.volume / folder, old="123")
    make(home / "here", new="12345")
    words = ["sync", "up", "here", folder, "--delete"]
    assert on_terminal(*EMASYNC, *words, home=home, env=em.login, when={QUESTION: b"n\n"})[0] == 1
    job = json.loads(emasync(em, home, "jobs", "ls", "--json").stdout.splitlines()[0])["id"]
    result = emasync(em, home, "jobs", "resume", job)
    assert result.returncode == 2
    assert "to begin it anew" in result.stderr
    assert names(em.volume / folder) == ["old"]


def test_the_question_names_both_folders_and_what_filters_leave_out(em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave `source_excluded` out of `summary_of`.
    make(em.volume / folder, old="123")
    make(home / "here", a_log="1")
    words = ["sync", "up", "here", folder, "--delete", "--exclude", "a_log"]
    ended, shown = on_terminal(*EMASYNC, *words, home=home, env=em.login, when={QUESTION: b"n\n"})
    text = shown.decode().replace("\r\n", " ")
    assert ended == 1
    assert "EMPTY (1 left out by filters)" in text
    assert "this machine (here)" in text
    assert f"the EM ({folder})" in text
    result = emasync(em, home, *words)
    assert "the filters leave none of the files of the source" in result.stderr
