"""The independent checker: what the disk, the journal and the request log say of a run, whatever emasync says.

Owns: the invariants I1-I5, I7 and I8 as questions that answer with the violations they found; nothing found is [].
Imports nothing of emasync but the nouns of a report. Reads files with os and hashlib, journals with sqlite3.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from emasync import Outcome, TransferReport

_OURS = ".emasync-"
_PROBES, _WINDOW_S, _BURST_S = 8, 5.0, 0.25


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """Every file below `folder`: relative path to SHA-256 in hex; links as ``-> target``, odd things as their kind."""
    return {path: fact for path, fact in _walk(folder) if fact is not None}


def _walk(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Everything below `folder` without following a link; None for folders. Names that are no text keep their bytes."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name) if folder.is_dir() else ():
        path = Path(entry.path)
        if entry.is_symlink():
            yield entry.name, f"-> {path.readlink()}"
        elif entry.is_dir(follow_symlinks=False):
            yield entry.name, None
            yield from ((f"{entry.name}/{below}", fact) for below, fact in _walk(path))
        elif entry.is_file(follow_symlinks=False):
            yield entry.name, _hash_of(path)
        else:
            yield entry.name, "special"


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One transfer that has ended, or was killed (then `report` is None and `ended_ok` False).

    `destination`: the local folder, or the server's volume. `wanted`: every requested file by its final path below
    `destination`, with the right bytes or their SHA-256. `before`: SHA-256 of what was there at the start.
    `rows`: the journal's file. `ended_ok`: the run claimed success (`report.ok`, exit 0). `told`: the ends that its
    events told of.
    """

    direction: Literal["up", "down"]
    wanted: Mapping[str, bytes | str]
    destination: Path
    before: Mapping[str, str] = field(default_factory=dict)
    report: TransferReport | None = None
    rows: Path | None = None
    ended_ok: bool = False
    told: Sequence[Outcome] | None = None


def violations(run: Run) -> list[str]:
    """What `run` broke of I1 (no wrong file), I2 (no lie), I3 (no loss) and I8 (no residue; not after a kill)."""
    right = {path: sha256(data) if isinstance(data, bytes) else data for path, data in run.wanted.items()}
    there = tree(run.destination)
    found = [*_wrong_files(run, right, there), *_lies(run, right, there)]
    if run.report is not None:
        found += _losses(run)
    if run.report is not None or run.ended_ok:
        found += residue(run.destination)
    return found


def _wrong_files(run: Run, right: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Old bytes or the complete new ones under every name. An upload the report owns up to is the server's affair."""
    owned_up = (
        {_place(run, outcome) for outcome in run.report.outcomes if outcome.state != "done"} if run.report else set()
    )
    found = [f"I1 {path!r}: the old file is gone" for path in run.before if path not in there]
    for path, fact in there.items():
        if _is_ours(path) or fact == run.before.get(path) or fact == right.get(path):
            continue
        if path not in right:
            found.append(f"I1 {path!r}: nobody asked for this file")
        elif run.direction == "down" or path not in owned_up:
            found.append(f"I1 {path!r}: neither the old nor the new bytes ({fact[:12]})")
    return found


def _lies(run: Run, right: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    skipped: set[str] = set()
    for outcome in run.report.outcomes if run.report else ():
        path = _place(run, outcome)
        if outcome.state == "skipped":
            skipped.add(path)
        if outcome.state != "done":
            continue
        if path not in right or there.get(path) != right[path]:
            found.append(f"I2 {path!r}: called done, and the right bytes are not there")
        elif outcome.sha256 not in (None, right[path]):
            found.append(f"I2 {path!r}: done with a false SHA-256")
        elif outcome.bytes != (run.destination / path).stat().st_size:
            found.append(f"I2 {path!r}: done with {outcome.bytes} bytes, it has others")
    if run.report is not None and run.report.ok != all(
        outcome.state in ("done", "skipped") for outcome in run.report.outcomes
    ):
        found.append("I2 report.ok does not follow from its outcomes")
    if run.ended_ok:
        missing = [path for path in right if there.get(path) != right[path] and path not in skipped]
        found += [f"I2 {path!r}: the run ended well without it" for path in missing]
    found += _false_events(run, right, there)
    return found + (_journal_lies(run, right, there) if run.rows is not None else [])


def _false_events(run: Run, right: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What the events told of, and the report or the disk does not bear out."""
    times = Counter(_place(run, one) for one in run.told or ())
    found = [f"I2 {path!r}: told of {count} times in events" for path, count in times.items() if count > 1]
    for one in run.told or ():
        path = _place(run, one)
        if one.state == "done" and there.get(path) != right.get(path, ""):
            found.append(f"I2 {path!r}: told to be done, and the right bytes are not there")
    if run.told is not None and run.report is not None:
        told = {_place(run, one): (one.state, one.sha256) for one in run.told}
        ends = {_place(run, outcome): (outcome.state, outcome.sha256) for outcome in run.report.outcomes}
        differ = {path for path, _ in told.items() ^ ends.items()}
        found += [f"I2 {path!r}: {told.get(path)} in events, {ends.get(path)} in the report" for path in sorted(differ)]
    return found


def _journal_lies(run: Run, right: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    assert run.rows is not None
    try:
        rows = read_journal(run.rows)
    except sqlite3.Error as error:
        return [f"I2 the journal cannot be read: {error}"]
    ends = {_place(run, outcome): str(outcome.state) for outcome in run.report.outcomes} if run.report else {}
    found: list[str] = []
    for row in rows:
        path = row.remote if run.direction == "up" else _below(row.local, run.destination)
        if row.direction != f"{run.direction}link" or path not in right:
            continue
        if row.state == "done" and there.get(path) != right[path]:
            found.append(f"I2 {path!r}: done in the journal, and the right bytes are not there")
        if row.state == "done" and row.sha256 not in (None, right[path]):
            found.append(f"I2 {path!r}: done in the journal with a false SHA-256")
        if row.state == "done" and ends.get(path) in ("failed", "unknown"):
            found.append(f"I2 {path!r}: done in the journal, {ends[path]} in the report")
    return found


class JournalRow(NamedTuple):
    """What a journal says of one file; `local` absolute."""

    direction: str
    remote: str
    local: str
    state: str
    sha256: str | None


def read_journal(path: Path) -> list[JournalRow]:
    """Its rows, of a copy: the file and its log stay as they are. No file, no rows; sqlite3.Error for a damaged one."""
    with tempfile.TemporaryDirectory(prefix="journal-") as copies:
        for file in (path, path.with_name(f"{path.name}-wal")):
            if file.exists():
                shutil.copy(file, Path(copies) / file.name)
        copy = Path(copies) / path.name
        if not copy.exists():
            return []
        with closing(sqlite3.connect(copy)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("integrity_check found damage")
            if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'item'").fetchone()[0]:
                return []
            rows = connection.execute("SELECT direction, remote, local, state, sha256 FROM item").fetchall()
    return [
        JournalRow(direction, bytes(remote).decode("utf-8", "surrogatepass"), os.fsdecode(local), state, digest)
        for direction, remote, local, state, digest in rows
    ]


def _losses(run: Run) -> list[str]:
    """Counts in = counts out: every file exactly once, each end that is not `done` with its reason."""
    assert run.report is not None
    times = Counter(_place(run, outcome) for outcome in run.report.outcomes)
    found = [f"I3 {path!r}: requested, and not in the report" for path in run.wanted if path not in times]
    found += [f"I3 {path!r}: {count} times in the report" for path, count in times.items() if count > 1]
    for outcome in run.report.outcomes:
        if outcome.state == "failed" and outcome.error is None:
            found.append(f"I3 {_place(run, outcome)!r}: failed without an error")
        if outcome.state in ("skipped", "unknown") and not (outcome.reason or outcome.error):
            found.append(f"I3 {_place(run, outcome)!r}: {outcome.state} without a reason")
    return found


def residue(folder: Path) -> list[str]:
    """I8: what emasync left under its own names below `folder`."""
    return [f"I8 {path!r} was left behind" for path, _ in _walk(folder) if _is_ours(path)]


def _is_ours(path: str) -> bool:
    return path.rpartition("/")[2].lower().startswith(_OURS)


def _place(run: Run, outcome: Outcome) -> str:
    return str(outcome.path) if run.direction == "up" else _below(str(outcome.local), run.destination)


def _below(path: str, folder: Path) -> str:
    """`path` relative to `folder`, both made absolute as text; the path itself where it is not below."""
    place, root = os.path.abspath(path), os.path.abspath(folder)  # noqa: PTH100 - Path.resolve would follow links
    return place.removeprefix(f"{root}{os.sep}")


Snapshot = Mapping[str, tuple[object, ...]]


def snapshot(folder: Path) -> Snapshot:
    """Everything below `folder`: kind and mode, and of what is no folder the inode, size, time and bytes too."""
    found: dict[str, tuple[object, ...]] = {".": (folder.lstat().st_mode,)}
    for path, fact in _walk(folder):
        about = (folder / path).lstat()
        of_file = () if stat.S_ISDIR(about.st_mode) else (about.st_ino, about.st_size, about.st_mtime_ns, fact)
        found[path] = (about.st_mode, *of_file)
    return found


def changed(before: Snapshot, after: Snapshot) -> list[str]:
    """I4: what differs between two snapshots of surroundings that were to stay as they were."""
    return (
        [f"I4 {path!r} was made" for path in after if path not in before]
        + [f"I4 {path!r} was removed" for path in before if path not in after]
        + [f"I4 {path!r} was changed" for path in before if path in after and before[path] != after[path]]
    )


def leaks(secrets: Iterable[str], texts: Mapping[str, str], folders: Iterable[Path] = ()) -> list[str]:
    """I5: which secret shows where: in `texts` (by name), in files below `folders`, in their names. In clear, and as
    JSON, a URL, a form or base64 would have it. The finding names the secret by number only."""
    spots = {name: text.encode("utf-8", "surrogatepass") for name, text in texts.items()}
    for folder in folders:
        for path, fact in _walk(folder):
            spots[f"the name of {folder / path}"] = os.fsencode(path)
            if fact is not None and fact.startswith("-> "):
                spots[f"the link {folder / path}"] = os.fsencode(fact)
            elif fact is not None and fact != "special":
                spots[str(folder / path)] = (folder / path).read_bytes()
    return [
        f"I5 secret {number} shows in {spot}"
        for number, secret in enumerate(secrets)
        for spot, data in spots.items()
        if any(form in data for form in _spellings(secret))
    ]


def _spellings(secret: str) -> set[bytes]:
    if not secret:
        raise ValueError("an empty secret is in every text")
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    texts |= {json.dumps(secret, ensure_ascii=only)[1:-1] for only in (True, False)}
    return {text.encode() for text in texts} | _in_base64(secret.encode())


def _in_base64(secret: bytes) -> set[bytes]:
    """What is certain of it in base64, at each of the three places of a group where it may begin."""
    found: set[bytes] = set()
    for before, unsure in enumerate((0, 2, 3)):
        whole = base64.b64encode(bytes(before) + secret)
        found.add(whole[unsure : len(whole) - (0, 3, 2)[(before + len(secret)) % 3]])
    return found


class Request(Protocol):
    """A line of the simulator's request log; see `LoggedRequest`."""

    @property
    def at(self) -> float: ...
    @property
    def path(self) -> str: ...
    @property
    def status(self) -> int: ...


def storm(
    requests: Sequence[Request], *, items: int, budget: int, expiries: int = 0, probes: int = _PROBES
) -> list[str]:
    """I7: one log-in per expiry, few attempts per item, few probes of a locked EM.

    `items`: files of a downlink, calls of an uplink; `budget`: the failures that were provoked, each of which may cost
    a request. `expiries`: how often the token may have grown old by the clock, with no 401 to show for it. `probes`:
    how many a locked EM may get in five seconds; only a test that makes the limiter impatient allows more.
    """
    found: list[str] = []
    log_ins = [request for request in requests if request.path.startswith("auth")]
    allowed = 1 + expiries + _refused_episodes(requests)
    if len(log_ins) > allowed:
        found.append(f"I7 {len(log_ins)} log-ins where {allowed} were due")
    moving = [
        request
        for request in requests
        if request.path in ("em/files/uplink", "em/files/downlink") and request.status != 423
    ]
    if len(moving) > items * 1.1 + budget:
        found.append(f"I7 {len(moving)} requests moved {items} items, with a budget of {budget}")
    for stretch in _locked_stretches(requests):
        # Those that were on their way when the lock was found out are no probes.
        times = [at for at in stretch if at > stretch[0] + _BURST_S]
        most = max((sum(start <= at < start + _WINDOW_S for at in times) for start in times), default=0)
        if most > probes:
            found.append(f"I7 {most} probes of a locked EM within {_WINDOW_S:g} s")
    return found


def _refused_episodes(requests: Sequence[Request]) -> int:
    """How often, since the log-in before, a call was refused with 401, or the log-in itself failed."""
    episodes, due = 0, True
    for request in requests:
        is_log_in = request.path.startswith("auth")
        refused = request.status != 200 if is_log_in else request.status == 401
        if refused and (due or is_log_in):
            episodes += 1
        due = is_log_in or (due and not refused)
    return episodes


def _locked_stretches(requests: Sequence[Request]) -> list[list[float]]:
    """The moments of 423 answers, in runs during which no ``em/`` call got another answer."""
    stretches: list[list[float]] = [[]]
    for request in requests:
        if request.status == 423:
            stretches[-1].append(request.at)
        elif request.path.startswith("em/") and request.status:
            stretches.append([])
    return [stretch for stretch in stretches if stretch]
