"""What happens between the calls of a random schedule: pods, people, false answers, a cancellation.

Owns: the events and how they are drawn; the local folder with every version that its files had.
Knows nothing of emasync. Each boundary of a call has random numbers of its own, drawn from its place in the schedule.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.random_em import DOWN, LIST, UP, Fault, Twist, Volume
from tests.faults.random_history import Actor, History, Request, below, joined

NAMES: Final = ("a", "b", "c.bin", "s/d", "s/t/e", "u/f")
_SIZES: Final = (4, 4, 4, 8, 12)
_OURS: Final = ".emasync-"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CWD, _NO_REPLACE, _EXCHANGE = -100, 1, 2  # of renameat2(2), which Python does not have


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """How often what happens at a boundary of a call, as probabilities; `faults` and `events` bound how often in one
    operation. `damage` is of what comes down, `stored` of what goes up. `revert`: after the operation a pod puts back
    what others changed during it. `offline_from`: from this call on no listing says anything. `cancel_at`: the call at
    which the operation is cancelled, and how many turns of the event loop later."""

    pod: float = 0.0
    flicker: float = 0.0
    person: float = 0.0
    silent: float = 0.0
    hollow: float = 0.0
    lost: float = 0.0
    damage: float = 0.0
    stored: float = 0.0
    refuse: float = 0.0
    lag: float = 0.0
    revert: float = 0.0
    faults: int = 4
    events: int = 6
    offline_from: int | None = None
    cancel_at: int | None = None
    cancel_turns: int = 0


class Contents:
    """New contents of files: no two are alike, but for empty ones."""

    def __init__(self) -> None:
        self._count = 0

    def new(self, size: int) -> bytes:
        """A content of that many bytes (fewer than 4: of none)."""
        self._count += 1
        return (b"%03x." % self._count + b"x" * size)[:size] if size >= 4 else b""

    def drawn(self, rng: random.Random) -> bytes:
        """A content of any usual size, rarely none."""
        return self.new(0 if rng.random() < 0.03 else rng.choice(_SIZES))


class LocalFolder:
    """The local files, as a person changes them and as emasync does."""

    def __init__(self, root: Path, history: History) -> None:
        self.root = root
        self._history = history
        self._known: dict[str, bytes] = {}
        self._mtime_ns = 0

    def observe(self) -> None:
        """Record what has changed since the last look: only emasync can have done it."""
        there = self.files()
        for path, data in there.items():
            if self._known.get(path) != data:
                self._history.record("local", path, data, "client")
                self._history.note(f"  local {path} = {data[:5]!r} by the client")
        for path in set(self._known) - set(there):
            self._history.record("local", path, None, "client")
            self._history.note(f"  local {path} deleted by the client")
        self._known = there

    def files(self) -> dict[str, bytes]:
        """All files under their final names."""
        found: dict[str, bytes] = {}
        for path, place in _files_below(str(self.root)):
            if not path.rpartition("/")[2].startswith(_OURS):
                with suppress(FileNotFoundError):
                    found[path] = _content(place)
        return found

    def left_behind(self) -> list[str]:
        """Temporary files."""
        return [path for path, _ in _files_below(str(self.root)) if path.rpartition("/")[2].startswith(_OURS)]

    def write(self, path: str, data: bytes, actor: Actor = "other") -> None:
        """Make or replace a file; its time of change is a new one, whatever the file system's clock shows."""
        place, new = self.root / path, self.root.parent / "edited"
        place.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(data)
        self._mtime_ns = max(time.time_ns(), self._mtime_ns + 1)
        os.utime(new, ns=(self._mtime_ns, self._mtime_ns))
        self._met(path, _put(new, place))
        self._known[path] = data
        self._history.record("local", path, data, actor)

    def remove(self, path: str) -> None:
        """Remove a file."""
        away = self.root.parent / "edited"
        (self.root / path).rename(away)
        self._met(path, away.read_bytes())
        away.unlink()
        del self._known[path]
        self._history.record("local", path, None, "other")

    def _met(self, path: str, data: bytes | None) -> None:
        """What a person's change found at `path`: emasync may have put it there since the last look. Only the change
        itself can tell, for emasync does not wait: where one file's next attempt is waited for, another goes on."""
        if data is not None and data != self._known.get(path):
            self._history.record("local", path, data, "client")
            self._history.note(f"  local {path} = {data[:5]!r} by the client, just before a person")


def _put(new: Path, place: Path) -> bytes | None:
    """Put `new` at `place`; the bytes of the file that was there at that very moment."""
    while True:
        for flag, error in ((_EXCHANGE, errno.ENOENT), (_NO_REPLACE, errno.EEXIST)):
            if _LIBC.renameat2(_CWD, os.fsencode(new), _CWD, os.fsencode(place), flag) == 0:
                if flag == _NO_REPLACE:
                    return None
                old = new.read_bytes()
                new.unlink()
                return old
            if (code := ctypes.get_errno()) != error:
                raise OSError(code, os.strerror(code), str(place))


def _files_below(folder: str, before: str = "") -> Iterator[tuple[str, str]]:
    """Relative and absolute path of each file: `os.walk` and pathlib take most of a schedule's time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files_below(entry.path, f"{before}{entry.name}/")
            else:
                yield f"{before}{entry.name}", entry.path


def _content(place: str) -> bytes:
    file = os.open(place, os.O_RDONLY)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


class RandomScript:
    """The `Script` of a schedule. `begin` arms it for an operation, `calm` ends all events."""

    def __init__(self, label: str, history: History, volume: Volume, local: LocalFolder, contents: Contents) -> None:
        self._label = label
        self._history, self._volume, self._local, self._contents = history, volume, local, contents
        self._temper = Temper()
        self._prefix = ""
        self._operation = self._call = self._began = 0
        self._cancel: Callable[[], None] | None = None
        self._restore: tuple[str, bytes] | None = None
        self._corrupted: set[str] = set()
        self._stored: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, temper: Temper, prefix: str, cancel: Callable[[], None]) -> None:
        """The next operation; `cancel` cancels it."""
        self._temper, self._prefix, self._cancel = temper, prefix, cancel
        self._operation, self._call, self._began = self._operation + 1, 0, self._history.now
        self._faults = self._events = 0

    async def calm(self) -> None:
        """Nothing happens any more, but that a pod may put files back as they were before the operation: A, B, A."""
        revert = self._rng("revert").random() < self._temper.revert
        self._temper, self._cancel = Temper(), None
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for path, data in sorted(self._volume.files.items()) if revert else ():
            before = self._history.at("remote", path, self._began)
            if before not in (None, data) and self._history.all_of("remote", path)[-1].actor == "other":
                self._history.note(f"  pod puts {path} back")
                self._history.struck += 1
                self._volume.write(path, before, "other")

    def before(self, request: Request) -> Twist | None:
        """Events before the call is carried out, and what goes wrong with its answer."""
        self._call += 1
        self._local.observe()
        rng = self._rng("before")
        self._happen(rng, request)
        if request.endpoint == DOWN and self._drawn(rng, self._temper.flicker) and self._flicker(request.subject):
            self._history.note(f"  pod flickers {request.subject}")
        if self._temper.cancel_at == self._call:
            task = asyncio.get_running_loop().create_task(self._cancel_soon())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        twist = self._twist(rng, request)
        self._faults += twist is not None
        return twist

    def acted(self, request: Request) -> None:
        """Events between the work and the answer."""
        if self._restore is not None:
            path, data = self._restore
            self._restore = None
            self._volume.write(path, data, "other")
        self._happen(self._rng("acted"), request)

    def answered(self, request: Request) -> None:
        """Nothing: what happens after an answer happens before the next call."""

    def _rng(self, place: str) -> random.Random:
        return random.Random(f"{self._label}/{self._operation}/{self._call}/{place}")

    async def _cancel_soon(self) -> None:
        for _ in range(self._temper.cancel_turns):
            await asyncio.sleep(0)
        if self._cancel is not None:
            self._history.note("  cancelled")
            self._history.struck += 1
            self._cancel()

    def _drawn(self, rng: random.Random, chance: float) -> bool:
        """Whether an event happens: always one random number, whatever the chance."""
        happens = rng.random() < chance and self._events < self._temper.events
        self._events += happens
        self._history.struck += happens
        return happens

    def _happen(self, rng: random.Random, request: Request) -> None:
        if self._drawn(rng, self._temper.pod):
            self._pod(rng, request)
        if self._drawn(rng, self._temper.person):
            self._person(rng, request)

    def _flicker(self, path: str) -> bool:
        """Another content for the time of one read: A, B, A."""
        data = self._volume.files.get(path)
        if not data or not self._corruptible(path):
            return False
        self._corrupted.add(path)
        self._restore = (path, data)
        self._volume.write(path, self._contents.new(len(data)), "other")
        return True

    def _pod(self, rng: random.Random, request: Request) -> None:
        """A pod writes, restores, removes or renames a file of the volume."""
        there = sorted(path for path in self._volume.files if below(path, self._prefix))
        near = [path for path in (request.subject, *request.sent) if path in there]
        path = rng.choice(near) if near and rng.random() < 0.6 else rng.choice(there) if there else ""
        act = rng.random()
        if act < 0.12 or not path:
            path = joined(self._prefix, rng.choice(NAMES))
            self._volume.write(path, self._contents.drawn(rng), "other")
        elif act < 0.22:
            self._volume.remove(path, "other")
        elif act < 0.27:
            new = joined(self._prefix, rng.choice(NAMES))
            data = self._volume.files[path]
            self._volume.remove(path, "other")
            self._volume.write(new, data, "other")
        else:
            old = [one.data for one in self._history.all_of("remote", path) if one.data and one.actor != "damage"]
            self._volume.write(path, self._changed(rng, self._volume.files[path], old), "other")
        now = self._volume.files.get(path)
        self._history.note(f"  pod {path} = {now[:5] if now is not None else None!r}")

    def _person(self, rng: random.Random, request: Request) -> None:
        """A person edits, makes or removes a local file."""
        self._local.observe()
        there = self._local.files()
        start = len(self._prefix) + 1 if self._prefix else 0
        near = [path[start:] for path in (request.subject, *request.sent) if path[start:] in there]
        path = rng.choice(near) if near and rng.random() < 0.6 else rng.choice(sorted(there) or [""])
        act = rng.random()
        if act < 0.2 or not path:
            path = rng.choice(NAMES)
            self._local.write(path, self._contents.drawn(rng))
        elif act < 0.3:
            self._local.remove(path)
        else:
            old = [one.data for one in self._history.all_of("local", path) if one.data]
            self._local.write(path, self._changed(rng, there[path], old))
        self._history.note(f"  person changes {path}: {self._local.files().get(path, b'gone')[:5]!r}")

    def _changed(self, rng: random.Random, data: bytes, old: list[bytes]) -> bytes:
        act = rng.random()
        if act < 0.6:
            return self._contents.new(len(data))
        return rng.choice(old) if old and act < 0.85 else self._contents.drawn(rng)

    def _twist(self, rng: random.Random, request: Request) -> Twist | None:
        """What goes wrong with the answer, if anything."""
        temper, pick = self._temper, rng.randrange(1 << 16)
        if request.endpoint == LIST and temper.offline_from is not None and self._call >= temper.offline_from:
            return Twist(fault="silent", pick=pick)
        chances: list[tuple[float, list[Fault]]] = [
            (temper.lost, ["lost before", "lost after"]),
            (temper.refuse, ["busy", "error"]),
        ]
        if request.endpoint == LIST:
            chances += [(temper.silent, ["silent"]), (temper.hollow, ["hollow"]), (temper.lag, ["lag"])]
        elif request.endpoint == DOWN and self._corruptible(request.subject):
            chances.append((temper.damage, ["corrupt", "corrupt", "cut"]))
        elif request.endpoint == UP:
            chances.append((temper.stored, ["stored fewer" if self._stored & set(request.sent) else "stored wrong"]))
        for chance, faults in chances:
            if rng.random() < chance and self._faults < temper.faults:
                fault = rng.choice(faults)
                if fault == "corrupt":
                    self._corrupted.add(request.subject)
                elif fault == "stored wrong":  # each file once: twice is what a server with another rule looks like
                    self._stored.update(request.sent)
                return Twist(fault=fault, pick=pick)
        return None

    def _corruptible(self, path: str) -> bool:
        """One file of a schedule, however often: two would look like a server with another rule of content tags."""
        return not self._corrupted or path in self._corrupted
