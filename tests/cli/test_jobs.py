"""Interrupted and failed transfers, and how they are taken up again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cli.child import EM, EMASYNC, LIMIT_S, end, run, simulator, start


def emasync(em: EM, home: Path, *words: str, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return run(*EMASYNC, *words, home=home, env={**em.login, **(more or {})})


def records(home: Path) -> list[Path]:
    return sorted(home.rglob("jobs/*.json"))


def journals(home: Path) -> list[Path]:
    return sorted(home.rglob("jobs/*.journal"))


def test_ctrl_c_prints_the_command_that_goes_on_and_it_finishes_the_job(tmp_path: Path) -> None:
    # Sabotage: drop `with work:` in job._supervised, or the journal from moving.move.
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
        assert {one["type"] for one in first} == {"file"}
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

    assert (failed.returncode, done.returncode) == (3, 0)
    assert len(records(home)) == 1
    assert journals(home) == []
    states = {
        Path(one["path"]).name: one["state"] for one in map(json.loads, done.stdout.splitlines()) if "path" in one
    }
    assert states == {"a": "skipped", "later": "done"}


def test_a_job_is_listed_shown_resumed_and_forgotten(em: EM, home: Path) -> None:
    (home / "a").write_text("one")
    emasync(em, home, "up", "a", "gone", "--to", home.name, "--exclude", "*.tmp")
    job = json.loads(emasync(em, home, "jobs", "ls", "--json").stdout.splitlines()[0])

    shown = emasync(em, home, "jobs", "show", job["id"][:4])
    resumed = emasync(em, home, "jobs", "resume", job["id"][:4], more={"EMASYNC_EXCLUDE": "a"})
    forgotten = emasync(em, home, "jobs", "rm", job["id"])

    assert (job["state"], job["code"]) == ("failed", 3)
    assert job["command"] == f"emasync up --to={home.name} '--exclude=*.tmp' a gone"
    assert "files    1 done, 3 B" in shown.stdout
    assert f"next     emasync jobs resume {job['id']}" in shown.stdout
    assert resumed.returncode == 3
    assert forgotten.stdout == f"forgotten: {job['id']}\n"
    assert records(home) == journals(home) == []


def test_an_unknown_job_is_misuse_and_says_where_to_look(em: EM, home: Path) -> None:
    for verb in ("show", "resume", "rm"):
        result = emasync(em, home, "jobs", verb, "nope")
        assert (result.returncode, result.stdout) == (2, "")
        assert "emasync jobs ls" in result.stderr


def test_a_running_job_is_neither_resumed_nor_forgotten(em: EM, home: Path) -> None:
    emasync(em, home, "up", "gone")
    (record,) = records(home)
    text = json.loads(record.read_text()) | {"state": "running", "pid": os.getpid()}
    record.write_text(json.dumps(text))

    for verb in ("resume", "rm"):
        result = emasync(em, home, "jobs", verb, text["id"])
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
    box: EM, home: Path
) -> None:
    # Sabotage: put "glob" into wishes._TUNING and out of the flags in command_line, or drop the `pop` of jobs_resume.
    for name in ("run[1].log", "run1.log"):
        (box.volume / name).write_text(name)
    (home / "out").write_text("in the way")
    glob = emasync(box, home, "down", "--glob", "run[1].log", "--into", "out")
    plain = emasync(box, home, "down", "run[1].log", "--into", "out")
    jobs = {json.loads(one.read_text())["flags"].__contains__("--glob"): one.stem for one in records(home)}
    (home / "out").unlink()
    from_environment = {"EMASYNC_GLOB": "1", "EMASYNC_EXCLUDE": "*", "EMASYNC_INTO": "elsewhere"}
    resumed = [emasync(box, home, "jobs", "resume", jobs[key], more=from_environment) for key in (True, False)]

    assert glob.returncode != 0 != plain.returncode
    assert len(jobs) == 2
    assert "--glob" in resumed[0].stderr
    assert [one.returncode for one in resumed] == [0, 0], resumed
    assert sorted(path.name for path in (home / "out").iterdir()) == ["run1.log", "run[1].log"]
    assert not (home / "elsewhere").exists()
