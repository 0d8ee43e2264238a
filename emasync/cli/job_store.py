"""Job records: which transfers were started on this machine, how they ended, and whether they can be resumed.

A record holds the words of a command, which contain no password. May import model and transfer's journal; sends
nothing.
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

State = Literal["running", "done", "failed", "interrupted"]

_KEEP_S = 30 * 86400.0
_JOURNAL_ENDS = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job. `words`, `flags` and `arguments` are the command; times are Unix seconds; `code` is its last exit code.

    `pid` is of the process that ran it last: a record that says running, of a process that is gone, was cut off.
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
    state: State = "running"
    code: int | None = None
    pid: int = 0

    @property
    def command(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(["emasync", *self.words, *self.flags, *self.arguments])

    def argv(self, more: Sequence[str] = ()) -> list[str]:
        """The command's arguments, with `more` flags."""
        return [*self.words, *self.flags, *more, "--", *self.arguments]


def job_id(words: Sequence[str], *, identity: Sequence[str], cwd: str, scope: Sequence[str]) -> str:
    """The same for the same transfer, however fast or loud it is asked for."""
    text = json.dumps([list(words), list(identity), cwd, list(scope)])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]


class JobStore:
    """The records in `folder`. Raises OSError when the disk refuses."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now

    def journal(self, job: str) -> Path:
        """Where the journal of a job is, if there is one."""
        return self._folder / f"{job}.journal"

    def begin(self, record: Record) -> Record:
        """Write down that a job runs in this process; forget what is older than 30 days."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in self.all():
            if self._now() - (old.ended or old.started) > _KEEP_S and old.state != "running" and old.id != record.id:
                self.remove(old)
        return self._write(replace(record, started=self._now(), state="running", pid=os.getpid()))

    def end(self, record: Record, state: State, *, code: int) -> Record:
        """Write down how it ended. A journal is kept until all of it is done."""
        ended = self._write(replace(record, state=state, code=code, ended=self._now()))
        if state == "done":
            self._drop_journal(record.id)  # last: killed in between, nothing that is known gets lost
        return ended

    def all(self) -> list[Record]:
        """The records, newest first. What is no record is left out. OSError where the folder cannot be read."""
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(".json")]  # noqa: PTH208 - raises
        except FileNotFoundError:
            names = []
        found = (_read(self._folder / name) for name in names)
        return sorted((one for one in found if one is not None), key=lambda one: (-one.started, one.id))

    def find(self, text: str) -> Record:
        """The job of this id, or of the only one that begins so. LookupError when there is none, or several."""
        found = [one for one in self.all() if one.id.startswith(text)]
        if not text or not found:
            raise LookupError(f"no job {text}; `emasync jobs ls` shows them")
        if len(found) > 1:
            raise LookupError(f"several jobs begin with {text}: {', '.join(one.id for one in found)}")
        return found[0]

    def remove(self, record: Record) -> None:
        """Forget a job and its journal."""
        self._drop_journal(record.id)
        (self._folder / f"{record.id}.json").unlink(missing_ok=True)

    def _drop_journal(self, job: str) -> None:
        for end in _JOURNAL_ENDS:
            self._folder.joinpath(f"{job}.journal{end}").unlink(missing_ok=True)

    def _write(self, record: Record) -> Record:
        path = self._folder / f"{record.id}.json"
        there = _read(path)
        if there is not None and there.state == "running" and there.pid != os.getpid():
            return record  # another run's, while that lives
        fresh = path.with_suffix(f".{os.getpid()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
        fresh.replace(path)
        return record


def _read(path: Path) -> Record | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(fields[name]) for name in ("words", "flags", "arguments")}
        record = Record(**{**fields, **lists})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    cut_off = record.state == "running" and not _alive(record.pid)
    return replace(record, state="interrupted") if cut_off else record


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody's
    return pid > 0


_APPLY = "--apply="


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The click object of a command that ``jobs resume`` runs again: it must have its journal."""

    job: str


def is_resumed() -> bool:
    """Whether the command that runs now was begun by ``jobs resume``."""
    return isinstance(click.get_current_context().find_root().obj, Resumed)


def resume_command(record: Record) -> str:
    """What to type to go on."""
    return f"emasync jobs resume {record.id}"


def why_not_rebuilt(record: Record) -> str | None:
    """Why the command of a record cannot be run again; None if it can."""
    if not Path(record.cwd).is_dir():
        return f"its folder {safe(record.cwd)} is gone"
    for flag in record.flags:
        if flag == f"{_APPLY}-":
            return "its plan came from standard input"
        if flag.startswith(_APPLY) and not Path(record.cwd, flag.removeprefix(_APPLY)).is_file():
            return f"its plan {safe(flag.removeprefix(_APPLY))} is gone"
    return None


def why_not_resumable(log: JobStore, record: Record) -> str | None:
    """Why there is nothing to go on with; None if there is. Opens the journal, so no run may hold it."""
    if (reason := why_not_rebuilt(record)) is not None:
        return reason
    try:
        count = unfinished(log.journal(record.id))
    except (OSError, ValueError) as error:
        return f"its journal cannot be read: {safe(error)}"
    return None if count else "its journal holds no unfinished file"
