"""The records of transfers: what is kept, for how long, and what is never in them."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from emasync.cli.job_store import JobRecord, JobStore, job_id

DAY = 86400.0


def _record(job: str = "0123456789") -> JobRecord:
    return JobRecord(
        id=job,
        words=("sync", "up"),
        flags=("--delete",),
        arguments=("my data", "--odd"),
        cwd="/somewhere",
        url="http://em/",
        username="client1",
        volume=None,
        started=0.0,
    )


def test_a_record_comes_back_as_it_was_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    log = JobStore(tmp_path / "jobs", now=lambda: 1000.0)

    begun = log.begin(_record())

    assert log.find("0123") == begun
    assert (begun.state, begun.started, begun.pid) == ("running", 1000.0, os.getpid())
    assert stat.S_IMODE((tmp_path / "jobs/0123456789.json").stat().st_mode) == 0o600
    assert begun.command == "emasync sync up --delete 'my data' --odd"
    assert begun.argv(["-q"]) == ["sync", "up", "--delete", "-q", "--", "my data", "--odd"]


def test_the_journal_is_kept_until_all_is_done(tmp_path: Path) -> None:
    # Sabotage: drop the journal whatever the state in JobLog.end.
    log = JobStore(tmp_path)
    record = log.begin(_record())
    journal = log.journal(record.id)
    journal.touch()

    failed = log.end(record, "failed", code=6)
    kept = journal.exists()
    log.end(failed, "done", code=0)

    assert kept
    assert not journal.exists()
    assert [(record.state, record.code) for record in log.all()] == [("done", 0)]


def test_what_is_older_than_thirty_days_is_forgotten_when_another_begins(tmp_path: Path) -> None:
    # Sabotage: compare with > 60 days in JobLog.begin.
    time = [0.0]
    log = JobStore(tmp_path, now=lambda: time[0])
    log.end(log.begin(_record("aaaa")), "failed", code=1)
    log.journal("aaaa").touch()
    time[0] = 2 * DAY
    log.end(log.begin(_record("bbbb")), "done", code=0)
    time[0] = 31 * DAY
    log.begin(_record("cccc"))

    assert [record.id for record in log.all()] == ["cccc", "bbbb"]
    assert not log.journal("aaaa").exists()


# Sabotage: let `JobStore.begin` write in any case: `jobs rm` takes the journal away from under the run.
def test_a_second_run_that_is_turned_away_leaves_the_firsts_record_alone(tmp_path: Path) -> None:
    log = JobStore(tmp_path)
    record = _record("a")
    first = log._write(replace(record, pid=os.getppid()))
    log.begin(record)
    assert log.find("a") == first


def test_a_file_that_is_no_record_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "y.json").write_bytes(b"\xff")

    assert JobStore(tmp_path).all() == []


def test_an_id_must_be_one_jobs_beginning(tmp_path: Path) -> None:
    log = JobStore(tmp_path)
    for job in ("ab1", "ab2"):
        log.begin(_record(job))

    assert log.find("ab2").id == "ab2"
    with pytest.raises(LookupError, match="several"):
        log.find("ab")
    with pytest.raises(LookupError, match="no job"):
        log.find("c")


def test_another_folder_or_em_is_another_job() -> None:
    def made(*, cwd: str = "/a", url: str = "http://em/") -> str:
        return job_id(["up"], identity=["--", "x"], cwd=cwd, scope=[url, "client1", ""])

    assert made() == made()
    assert len({made(), made(cwd="/b"), made(url="http://other/")}) == 3
