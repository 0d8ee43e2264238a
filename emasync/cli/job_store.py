"""Job records: which transfers were started on this machine, how they ended, and whether they can be resumed.

A record holds the words of a command, which contain no password. Sends nothing. Must not import the client, http or
transfer's engine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import click

from emasync.model import safe
from emasync.transfer.state.journal import unfinished

JobState = Literal["running", "done", "failed", "interrupted"]

_KEEP_S = 30 * 86400.0
_JOURNAL_ENDS = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job. `words`, `flags` and `arguments` are the command; times are Unix seconds; `code` is its last exit code.

    `pid` is the process that ran the job last. A record that says "running" while that process is gone was interrupted.
    """

    id: str
    words: tuple[str, ...]
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    cwd: str
    url: str
    username: str
    volume: str | None
    started: float
    ended: float | None = None
    state: JobState = "running"
    code: int | None = None
    pid: int = 0

    @property
    def command(self) -> str:
        """The command line, quoted for a shell."""
        return shlex.join(["emasync", *self.words, *self.flags, *self.arguments])

    def argv(self, more: Sequence[str] = ()) -> list[str]:
        """The arguments of the command, with `more` flags added."""
        return [*self.words, *self.flags, *more, "--", *self.arguments]


def job_id(words: Sequence[str], *, identity: Sequence[str], cwd: str, scope: Sequence[str]) -> str:
    """An id that is the same whenever the same transfer is run, whatever its tuning and presentation options."""
    text = json.dumps([list(words), list(identity), cwd, list(scope)])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]


class JobStore:
    """The job records in `directory`, a JSON file each. Raises OSError where the disk does."""

    def __init__(self, directory: Path, *, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._now = now

    def journal(self, job: str) -> Path:
        """The path of a job's journal, whether it exists or not."""
        return self._directory / f"{job}.journal"

    def begin(self, record: JobRecord) -> JobRecord:
        """Record that a job runs in this process; remove the records that are older than 30 days."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in self.all():
            if self._now() - (old.ended or old.started) > _KEEP_S and old.state != "running" and old.id != record.id:
                self.remove(old)
        return self._write(replace(record, started=self._now(), state="running", pid=os.getpid()))

    def end(self, record: JobRecord, state: JobState, *, code: int) -> JobRecord:
        """Record how a job ended. Its journal is kept until all of its files are done."""
        ended = self._write(replace(record, state=state, code=code, ended=self._now()))
        if state == "done":
            self._drop_journal(record.id)  # last: a process that is killed in between loses nothing
        return ended

    def all(self) -> list[JobRecord]:
        """The records, newest first, without unreadable ones. OSError where the directory cannot be read."""
        try:
            names = [name for name in os.listdir(self._directory) if name.endswith(".json")]  # noqa: PTH208 - raises
        except FileNotFoundError:
            names = []
        records = (_read(self._directory / name) for name in names)
        found = (record for record in records if record is not None)
        return sorted(found, key=lambda record: (-record.started, record.id))

    def find(self, text: str) -> JobRecord:
        """The job whose id is, or begins with, `text`. LookupError where there is none, or more than one."""
        found = [record for record in self.all() if record.id.startswith(text)]
        if not text or not found:
            raise LookupError(f"no job {text}; `emasync jobs ls` shows them")
        if len(found) > 1:
            raise LookupError(f"several jobs begin with {text}: {', '.join(record.id for record in found)}")
        return found[0]

    def remove(self, record: JobRecord) -> None:
        """Remove a job's record and journal."""
        self._drop_journal(record.id)
        (self._directory / f"{record.id}.json").unlink(missing_ok=True)

    def _drop_journal(self, job: str) -> None:
        for end in _JOURNAL_ENDS:
            self._directory.joinpath(f"{job}.journal{end}").unlink(missing_ok=True)

    def _write(self, record: JobRecord) -> JobRecord:
        path = self._directory / f"{record.id}.json"
        stored = _read(path)
        if stored is not None and stored.state == "running" and stored.pid != os.getpid():
            return record  # the record belongs to another process while that runs
        fresh = path.with_suffix(f".{os.getpid()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
        fresh.replace(path)
        return record


def _read(path: Path) -> JobRecord | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(fields[name]) for name in ("words", "flags", "arguments")}
        record = JobRecord(**{**fields, **lists})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    interrupted = record.state == "running" and not _alive(record.pid)
    return replace(record, state="interrupted") if interrupted else record


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's process
    return pid > 0


_APPLY = "--apply="


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Marks, as click's context object, a command that ``jobs resume`` runs again: it requires its journal."""

    job: str


def is_resumed() -> bool:
    """Whether the running command was started by ``jobs resume``."""
    return isinstance(click.get_current_context().find_root().obj, Resumed)


def resume_command(record: JobRecord) -> str:
    """The command that continues the job."""
    return f"emasync jobs resume {record.id}"


def why_not_repeatable(record: JobRecord) -> str | None:
    """The reason why the command of a record cannot be run again; None if it can."""
    if not Path(record.cwd).is_dir():
        return f"its folder {safe(record.cwd)} is gone"
    for flag in record.flags:
        if flag == f"{_APPLY}-":
            return "its plan came from standard input"
        if flag.startswith(_APPLY) and not Path(record.cwd, flag.removeprefix(_APPLY)).is_file():
            return f"its plan {safe(flag.removeprefix(_APPLY))} is gone"
    return None


def why_not_resumable(store: JobStore, record: JobRecord) -> str | None:
    """The reason why a job cannot be resumed; None if it can. Opens the journal, so no run may hold it."""
    if (reason := why_not_repeatable(record)) is not None:
        return reason
    try:
        count = unfinished(store.journal(record.id))
    except (OSError, ValueError) as error:
        return f"its journal cannot be read: {safe(error)}"
    return None if count else "its journal holds no unfinished file"
