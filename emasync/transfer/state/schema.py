"""What the journal remembers, as values and as rows of a table.

Keys, states, and the translation between values and columns. Knows nothing of connections, threads or time. Must not
import sqlite.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from emasync.model import Direction, OutcomeState, RemotePath, Verified, safe

SqlValue: TypeAlias = str | bytes | int | float | None


class FileFacts(Protocol):
    """Any value with these four, such as the fingerprint that `emasync.disk` takes. Times in nanoseconds."""

    @property
    def size(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def ctime_ns(self) -> int: ...
    @property
    def inode(self) -> int: ...


def signed64(number: int) -> int:
    """`number` as a database integer holds it: inodes are unsigned and on some file systems use the 64th bit, and so do
    times in nanoseconds from the year 2262 on."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


class ItemState(StrEnum):
    """How far an item has come. `intent`: wanted, nothing has left; `sent`: bytes may have left; the rest as in
    `OutcomeState`."""

    INTENT = "intent"
    SENT = "sent"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One file in one direction, between one volume and one local path.

    `scope` says which EM, user and volume (see `journal_scope`); `local` is absolute, so that the same file is found
    again from another working folder. ValueError otherwise, and for a scope with login data in its URL.
    """

    scope: str
    direction: Direction
    remote: RemotePath
    local: str

    def __post_init__(self) -> None:
        if not self.local.startswith("/"):
            raise ValueError(f"the journal needs absolute local paths, not {self.local!r}")
        if "@" in self.scope.partition("://")[2].partition("/")[0]:
            raise ValueError("a journal scope must not hold log-in data: take it from journal_scope()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An item that is about to be moved. `facts` are the source's (uplink only); `size` in bytes is the listed one of a
    downlink (an uplink's is in its facts)."""

    key: Key
    facts: FileFacts | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The end of an item. Hand in a downlink's `done` only after its file is renamed and flushed.

    `facts`: of the final local file (downlink). `tag`: computed from the bytes moved; `listed_tag`: as a listing gave
    it, whatever its rule. What is None keeps the intent's value. `attempts`: as in Outcome. ValueError for a downlink
    that is done without facts.
    """

    key: Key
    state: OutcomeState
    facts: FileFacts | None = None
    sha256: str | None = None
    tag: int | None = None
    listed_tag: int | None = None
    verified: Verified = Verified.NONE
    attempts: int = 0
    error: str | None = None

    def __post_init__(self) -> None:
        done = self.state is OutcomeState.DONE
        if done and self.key.direction is Direction.DOWNLINK and self.facts is None:
            raise ValueError("a downlink is done when its file is in place: its facts are missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is remembered of an item. Size, times (ns) and inode are the local file's: an uplink's source, a downlink's
    result. `attempts` are those of its last run; `updated_at` is Unix time in seconds."""

    key: Key
    state: ItemState
    size: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    inode: int | None = None
    sha256: str | None = None
    tag: int | None = None
    listed_tag: int | None = None
    verified: Verified = Verified.NONE
    attempts: int = 0
    call_id: str | None = None
    error: str | None = None
    updated_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalTotal:
    """How many items of one scope and direction are in one state, and their known bytes together."""

    scope: str
    direction: Direction
    state: ItemState
    files: int
    bytes: int
    updated_at: float


SCHEMA = """
CREATE TABLE item (
  scope TEXT NOT NULL, direction TEXT NOT NULL, remote BLOB NOT NULL, local BLOB NOT NULL, state TEXT NOT NULL,
  size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sha256 TEXT, tag INTEGER, listed_tag INTEGER,
  verified TEXT NOT NULL, attempts INTEGER NOT NULL, call_id TEXT, error TEXT, updated_at REAL NOT NULL,
  PRIMARY KEY (scope, direction, remote, local)
) WITHOUT ROWID;
"""

COLUMNS = (
    "scope, direction, remote, local, state, size, mtime_ns, ctime_ns, inode, sha256, tag, listed_tag, "
    "verified, attempts, call_id, error, updated_at"
)
IS_KEY = "scope = ? AND direction = ? AND remote = ? AND local = ?"


def key_values(key: Key) -> tuple[SqlValue, ...]:
    """A key as its four columns. Paths are bytes: a name need not be text on either side."""
    return (key.scope, key.direction.value, key.remote.encode("utf-8", "surrogatepass"), os.fsencode(key.local))


def fact_values(facts: FileFacts | None) -> tuple[SqlValue, ...]:
    """Size, mtime_ns, ctime_ns and inode, or four times nothing."""
    if facts is None:
        return (None, None, None, None)
    return (facts.size, signed64(facts.mtime_ns), signed64(facts.ctime_ns), signed64(facts.inode))


def intent_values(item: Intent, now: float) -> tuple[SqlValue, ...]:
    """A whole row, in the order of COLUMNS: nothing of an earlier run stays."""
    size, *times = fact_values(item.facts)
    known = (item.size if size is None else size, *times, None, None, None)
    return (*key_values(item.key), ItemState.INTENT.value, *known, Verified.NONE.value, 0, None, None, now)


def settled_values(item: Settled, now: float) -> tuple[SqlValue, ...]:
    """A whole row, in the order of COLUMNS; None where the intent's value is to stay."""
    known = (*fact_values(item.facts), item.sha256, item.tag, item.listed_tag)
    error = None if item.error is None else safe(item.error)
    return (*key_values(item.key), item.state.value, *known, item.verified.value, item.attempts, None, error, now)


def row_of(values: tuple[SqlValue, ...]) -> Row:
    """The Row of one line of COLUMNS. ValueError if it is not one that this version writes."""
    scope, direction, remote, local, state, *known, verified, attempts, call_id, error, updated_at = values
    if not (isinstance(remote, bytes) and isinstance(local, bytes)):
        raise ValueError("a journal row without paths")
    size, mtime_ns, ctime_ns, inode, sha256, tag, listed_tag = known
    key = Key(
        scope=str(scope),
        direction=Direction(str(direction)),
        remote=RemotePath(remote.decode("utf-8", "surrogatepass")),
        local=os.fsdecode(local),
    )
    return Row(
        key=key,
        state=ItemState(str(state)),
        size=_int(size),
        mtime_ns=_int(mtime_ns),
        ctime_ns=_int(ctime_ns),
        inode=_int(inode),
        sha256=_text(sha256),
        tag=_int(tag),
        listed_tag=_int(listed_tag),
        verified=Verified(str(verified)),
        attempts=_int(attempts) or 0,
        call_id=_text(call_id),
        error=_text(error),
        updated_at=updated_at if isinstance(updated_at, float) else 0.0,
    )


def journal_scope(url: str, *, username: str, volume: str | None = None) -> str:
    """One EM, user and volume as a line of text: scheme, host, port and path of `url`, without log-in data or query.

    ValueError if the port is none.
    """
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    try:
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:  # its message quotes what may be a piece of a password
        raise ValueError("the EM's address has no valid port") from None
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{host}{port}{path}/ user={username!r} volume={volume or ''!r}"


def _int(value: SqlValue) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: SqlValue) -> str | None:
    return value if isinstance(value, str) else None
