"""Interrupted and failed transfers, and how they are taken up again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cli.canned_em import Held, canned_em
from tests.cli.child import EM, EMASYNC, LIMIT_S, end, environment, login, run, simulator, start


def emasync(em: EM, home: Path, *words: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run(*EMASYNC, *words, home=home, env={**em.login, **(more or {})})


def records(home: Path) -> list[Path]:
    return sorted(home.rglob("jobs/*.json"))


def journals(home: Path) -> list[Path]:
    return sorted(home.rglob("jobs/*.journal"))


def test_ctrl_c_prints_the_command_that_goes_on_and_it_finishes_the_job(tmp_path: Path) -> None:
    # Sabotage: drop `with scope:` in runner._run_until_signal, or the journal from transfer_runner.run_transfer.
    home = tmp_path / "home"
    home.mkdir()
    with simulator(tmp_path, "-q", "--latency", "0.15") as em:
        for index in range(60):
            (em.volume / f"f{index:02}").write_bytes(b"x" * 1000)
        words = ("down", "/", "--into", "out", "--workers", "2", "--json")
        with start(*EMASYNC, *words, home=home, env=em.login) as process:
            assert process.stdout is not None
            first = [json.loads(process.stdout.readline()) for _ in range(4)]
            began = time.monotonic()
            stopped = end(process, signal.SIGINT)
            took = time.monotonic() - began

        assert stopped.returncode == 130
        assert took < 5.0
        assert {line["type"] for line in first} == {"file"}
        assert json.loads(stopped.stdout.splitlines()[-1])["code"] == 130
        assert "Traceback" not in stopped.stderr
        command = re.search(r"go on with: emasync (jobs resume \w+)", stopped.stderr)
        assert command is not None, stopped.stderr
        assert len(journals(home)) == 1
        had = set((home / "out").glob("f*"))
        assert 4 <= len(had) < 60

        listed = emasync(em, home, "jobs", "ls")
        resumed = run(*EMASYNC, *command[1].split(), "--workers", "8", home=home, env={**em.login, "EMASYNC_URL": "x"})

    assert "interrupted" in listed.stdout
    assert resumed.returncode == 0, resumed.stderr
    assert "skipped" in resumed.stdout  # what was there is not moved again
    assert len(list((home / "out").glob("f*"))) == 60
    assert journals(home) == []
    assert [json.loads(path.read_text())["state"] for path in records(home)] == ["done"]


def test_the_same_command_again_takes_up_what_failed(em: EM, home: Path) -> None:
    # Sabotage: put the loudness flags into CommandLine.identity.
    (home / "a").write_text("one")
    failed = emasync(em, home, "up", "a", "later", "--to", home.name)
    (home / "later").write_text("two")

    done = emasync(em, home, "up", "a", "later", "--to", home.name, "-v", "--json")

    assert (failed.returncode, done.returncode) == (6, 0)
    assert len(records(home)) == 1
    assert journals(home) == []
    states = {
        Path(line["path"]).name: line["state"] for line in map(json.loads, done.stdout.splitlines()) if "path" in line
    }
    assert states == {"a": "skipped", "later": "done"}


def _two_files_one_in_the_way(em: EM, home: Path) -> str:
    """A folder of the volume with the files a and b, and a local folder where b should go."""
    (em.volume / home.name).mkdir()
    for name in ("a", "b"):
        (em.volume / home.name / name).write_text(name)
    (home / "out/b").mkdir(parents=True)
    return f"{home.name}/"


# Sabotage: `return "no"` in `why_not_resumable`.
def test_a_job_is_listed_shown_resumed_and_forgotten(em: EM, home: Path) -> None:
    folder = _two_files_one_in_the_way(em, home)
    failed = emasync(em, home, "down", folder, "--into", "out", "--exclude", "*.tmp")
    job = json.loads(emasync(em, home, "jobs", "ls", "--json").stdout.splitlines()[0])

    shown = emasync(em, home, "jobs", "show", job["id"][:4])
    again = emasync(em, home, "jobs", "resume", job["id"][:4], more={"EMASYNC_EXCLUDE": "a"})
    (home / "out/b").rmdir()
    resumed = emasync(em, home, "jobs", "resume", job["id"])
    forgotten = emasync(em, home, "jobs", "rm", job["id"])

    assert f"try the rest again with: emasync jobs resume {job['id']}" in failed.stderr
    assert (job["state"], job["code"]) == ("failed", 6)
    assert job["command"] == f"emasync down --into=out '--exclude=*.tmp' {folder}"
    assert "files    1 done, 1 B" in shown.stdout
    assert f"next     emasync jobs resume {job['id']}" in shown.stdout
    assert (again.returncode, resumed.returncode) == (6, 0)
    assert (home / "out/b").read_text() == "b"
    assert forgotten.stdout == f"forgotten: {job['id']}\n"
    assert records(home) == journals(home) == []


# Sabotage: `return None` at the end of `why_not_resumable`.
def test_a_job_without_an_unfinished_file_is_not_offered_for_resume(em: EM, home: Path) -> None:
    (home / "a").write_text("one")
    ended = emasync(em, home, "up", "a", "gone", "--to", home.name)
    (record,) = records(home)

    assert ended.returncode == 6
    assert "jobs resume" not in ended.stderr
    shown = emasync(em, home, "jobs", "show", record.stem).stdout
    assert "next     nothing to resume: its journal holds no unfinished file" in shown


# Sabotage: leave the loop over the flags out of `why_not_rebuilt`.
def test_a_job_whose_plan_came_from_standard_input_or_is_gone_is_neither_offered_nor_resumed(
    em: EM, home: Path
) -> None:
    folder = _two_files_one_in_the_way(em, home)
    plan = emasync(em, home, "down", folder, "--plan", "a.plan")
    command = [sys.executable, *EMASYNC, "down", "--apply", "-", "--into", "out"]
    with (home / "a.plan").open() as stdin:
        env = environment(home, em.login)
        piped = subprocess.run(command, stdin=stdin, capture_output=True, text=True, cwd=home, env=env, check=False)
    (of_pipe,) = records(home)
    named = emasync(em, home, "down", "--apply", "a.plan", "--into", "out")
    (of_name,) = set(records(home)) - {of_pipe}
    (home / "a.plan").unlink()

    assert (plan.returncode, piped.returncode, named.returncode) == (0, 6, 6)
    assert "jobs resume" not in piped.stderr
    assert f"jobs resume {of_name.stem}" in named.stderr
    for record, reason in ((of_pipe, "its plan came from standard input"), (of_name, "its plan a.plan is gone")):
        shown = emasync(em, home, "jobs", "show", record.stem).stdout
        resumed = emasync(em, home, "jobs", "resume", record.stem)
        assert f"next     nothing to resume: {reason}" in shown
        assert (resumed.returncode, resumed.stderr) == (2, f"emasync: {record.stem} cannot be resumed: {reason}\n")


# Sabotage: set `context.resume` in `_begin_job`, before anything is planned.
def test_an_interrupt_before_anything_is_planned_offers_nothing(home: Path) -> None:
    held = Held()
    with canned_em({"/em/files/list": held}) as url:
        process = start(*EMASYNC, "down", "/", home=home, env=login(url))
        assert held.asked.wait(20)
        result = end(process, signal.SIGINT)
        held.release.set()

    assert result.returncode == 130
    assert "go on with" not in result.stderr


def test_an_unknown_job_is_misuse_and_says_where_to_look(em: EM, home: Path) -> None:
    for command in ("show", "resume", "rm"):
        result = emasync(em, home, "jobs", command, "nope")
        assert (result.returncode, result.stdout) == (2, "")
        assert "emasync jobs ls" in result.stderr


def test_a_running_job_is_neither_resumed_nor_forgotten(em: EM, home: Path) -> None:
    emasync(em, home, "up", "gone")
    (record,) = records(home)
    text = json.loads(record.read_text()) | {"state": "running", "pid": os.getpid()}
    record.write_text(json.dumps(text))

    for command in ("resume", "rm"):
        result = emasync(em, home, "jobs", command, text["id"])
        assert result.returncode == 2
        assert "still running" in result.stderr
    assert records(home) == [record]


def test_a_process_that_was_killed_left_an_interrupted_job(em: EM, home: Path) -> None:
    emasync(em, home, "up", "gone")
    (record,) = records(home)
    gone = subprocess.Popen(["true"])
    gone.wait(timeout=LIMIT_S)
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "running", "pid": gone.pid}))

    assert "interrupted" in emasync(em, home, "jobs", "ls").stdout


def test_no_job_and_no_state_folder_leave_no_trace(em: EM, home: Path) -> None:
    without = emasync(em, home, "up", "gone", "--no-job")
    nowhere = emasync(em, home, "up", "gone", more={"EMASYNC_STATE_DIR": ""})
    asked = emasync(em, home, "jobs", "ls", more={"EMASYNC_STATE_DIR": ""})

    assert (without.returncode, nowhere.returncode, asked.returncode) == (3, 3, 2)
    assert "jobs resume" not in without.stderr + nowhere.stderr
    assert records(home) == []


def test_a_resumed_job_keeps_its_glob_and_takes_no_flag_from_the_environment_that_makes_it_another(
    own_em: EM, home: Path
) -> None:
    # Sabotage: put "glob" into `_TUNING` and out of the flags in `command_line`, or drop the `pop` of jobs_resume.
    for name in ("run[1].log", "run1.log"):
        (own_em.volume / name).write_text(name)
    (home / "out").write_text("in the way")
    glob = emasync(own_em, home, "down", "--glob", "run[1].log", "--into", "out")
    plain = emasync(own_em, home, "down", "run[1].log", "--into", "out")
    jobs = {json.loads(file.read_text())["flags"].__contains__("--glob"): file.stem for file in records(home)}
    (home / "out").unlink()
    from_environment = {"EMASYNC_GLOB": "1", "EMASYNC_EXCLUDE": "*", "EMASYNC_INTO": "elsewhere"}
    resumed = [emasync(own_em, home, "jobs", "resume", jobs[key], more=from_environment) for key in (True, False)]

    assert glob.returncode != 0 != plain.returncode
    assert len(jobs) == 2
    assert "--glob" in resumed[0].stderr
    assert [result.returncode for result in resumed] == [0, 0], resumed
    assert sorted(path.name for path in (home / "out").iterdir()) == ["run1.log", "run[1].log"]
    assert not (home / "elsewhere").exists()


def test_a_state_folder_that_cannot_be_read_is_no_empty_list(home: Path) -> None:
    # Sabotage: `self._folder.glob("*.json")` in JobLog.all: "no transfers in the last 30 days".
    file = home / "afile"
    file.write_text("")
    result = run(*EMASYNC, "jobs", "ls", home=home, env={"EMASYNC_STATE_DIR": str(file)})

    assert result.returncode != 0
    assert "no transfers" not in result.stdout + result.stderr
