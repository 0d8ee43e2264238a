"""A model of the journal, and crashes: what was acknowledged is there after each, and nothing else.

Owns: the state machine that hypothesis walks, the images that a crash leaves, and damaged files. May import the journal
and the resume decision. The model itself is a dict: it knows neither SQLite nor files.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emasync.model import Direction, FileEntry, OutcomeState, RemotePath, Verified
from emasync.transfer.resume import Action, resume_action
from emasync.transfer.state.journal import Journal, open_journal
from emasync.transfer.state.schema import Intent, ItemState, Key, Settled, journal_scope
from emasync.transfer.state.sqlite import Grouping
from emasync.transfer.verification import TagState
from tests.unit.transfer.state.journal_samples import Facts, rows_of

T = TypeVar("T")

_SCOPE: Final = journal_scope("http://em.test:8000/", username="client1")
_GROUPING: Final = Grouping(rows=50, window_s=0.0)
_FILES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the model remembers of an item: all that may be relied upon."""

    state: ItemState
    attempts: int = 0
    call_id: str | None = None
    sha256: str | None = None
    verified: Verified = Verified.NONE


@dataclass(slots=True)
class Counts:
    """What the walks of one run have come to."""

    steps: int = 0
    crashes: int = 0
    torn: int = 0


def key_of(number: int, direction: Direction) -> Key:
    """One of the few items there are, so that steps meet."""
    name = f"f{number}"
    return Key(scope=_SCOPE, direction=direction, remote=RemotePath(name), local=f"/data/{name}")


_keys = st.builds(key_of, st.integers(0, _FILES - 1), st.sampled_from(list(Direction)))
_some_keys = st.lists(_keys, min_size=1, max_size=4, unique=True)
_ends = st.sampled_from(list(OutcomeState))


def _settled(key: Key, state: OutcomeState) -> Settled:
    done = state is OutcomeState.DONE
    return Settled(
        key=key,
        state=state,
        facts=Facts() if done else None,
        sha256="ab" * 32 if done else None,
        verified=Verified.SHA256 if done else Verified.NONE,
        attempts=2,
    )


class JournalUnderCrashes(RuleBasedStateMachine):
    """Writes, crashes, goes on. `counts` is shared by all walks of one run."""

    counts = Counts()

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self._path = self._folder / "0" / "j.db"
        self._lives = 0
        self._runner = asyncio.Runner()
        self._model: dict[Key, Known] = {}
        self._opening: AbstractAsyncContextManager[Journal] | None = None
        self._journal: Journal

    def teardown(self) -> None:
        try:
            if self._opening is not None:
                self._close()
        finally:
            self._runner.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    @initialize()
    def first(self) -> None:
        self._open()

    @rule(keys=_some_keys)
    def intend(self, keys: list[Key]) -> None:
        self._do(self._journal.record_intents([Intent(key=key, facts=Facts()) for key in keys]))
        self._model |= dict.fromkeys(keys, Known(state=ItemState.INTENT))

    @rule(keys=_some_keys, call=st.sampled_from(["one", "two"]))
    def send(self, keys: list[Key], call: str) -> None:
        try:
            self._do(self._journal.record_sent(keys, call_id=call))
        except LookupError:
            assert not self._model.keys() >= {*keys}, "what has an intent may be sent"
            return
        assert self._model.keys() >= {*keys}, "sent without an intent"
        for key in keys:
            was = self._model[key]
            self._model[key] = replace(was, state=ItemState.SENT, attempts=was.attempts + 1, call_id=call)

    @rule(keys=_some_keys, end=_ends)
    def settle(self, keys: list[Key], end: OutcomeState) -> None:
        self._do(self._journal.record_outcomes([_settled(key, end) for key in keys]))
        self._model |= {key: self._after(key, end) for key in keys}

    def _after(self, key: Key, end: OutcomeState) -> Known:
        was = self._model.get(key, Known(state=ItemState.INTENT))
        told = _settled(key, end)
        sha256 = was.sha256 if told.sha256 is None else told.sha256
        return Known(state=ItemState(end.value), attempts=2, call_id=was.call_id, sha256=sha256, verified=told.verified)

    @rule(keys=_some_keys, others=_some_keys, end=_ends)
    def two_at_once(self, keys: list[Key], others: list[Key], end: OutcomeState) -> None:
        """Two callers share a commit; the one whose items are unknown fails alone."""

        async def both() -> tuple[object, object]:
            intents = [Intent(key=key) for key in keys]
            work = (self._journal.record_intents(intents), self._journal.record_sent(others, call_id="three"))
            return await asyncio.gather(*work, return_exceptions=True)

        intended, sent = self._do(both())
        assert intended is None
        self._model |= dict.fromkeys(keys, Known(state=ItemState.INTENT))
        assert (sent is None) == (self._model.keys() >= {*others}), sent
        for key in others if sent is None else ():
            was = self._model[key]
            self._model[key] = replace(was, state=ItemState.SENT, attempts=was.attempts + 1, call_id="three")

    @rule(keys=_some_keys, end=_ends)
    def settle_and_lose_interest(self, keys: list[Key], end: OutcomeState) -> None:
        """The waiter is cancelled: what it handed in is written all the same."""

        async def cancelled() -> None:
            task = asyncio.create_task(self._journal.record_outcomes([_settled(key, end) for key in keys]))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._do(cancelled())
        self._model |= {key: self._after(key, end) for key in keys}

    @rule()
    def close_and_open(self) -> None:
        self._close()
        self._open()

    @rule()
    def crash(self) -> None:
        """The process dies between two writes: what the disk has is all there is."""
        self._lives_on(self._image())
        self.counts.crashes += 1

    @rule(keys=_some_keys, end=_ends, share=st.floats(0, 1), garbled=st.booleans())
    def crash_while_writing(self, keys: list[Key], end: OutcomeState, share: float, garbled: bool) -> None:
        """It dies in a write that nobody was told of: all of it is there, or nothing."""
        log = self._path.with_name(f"{self._path.name}-wal")
        before = log.stat().st_size if log.exists() else 0
        self._do(self._journal.record_outcomes([_settled(key, end) for key in keys]))
        after, image = log.stat().st_size, self._image()
        new = {**self._model, **{key: self._after(key, end) for key in keys}}
        if after <= before:  # the log began anew: no telling where the last write lies
            self._model = new
            self._lives_on(image)
            return
        torn = image.with_name(log.name)
        data = torn.read_bytes()
        kept = before + round((after - before) * share)
        torn.write_bytes(data[:kept] + (b"\xa5" * (after - kept) if garbled else b""))
        old = self._model
        self._lives_on(image)
        self._model = old if self._rows(old) == old else new
        self.counts.torn += 1

    @rule(key=_keys, gone=st.booleans())
    def take_up(self, key: Key, gone: bool) -> None:
        """What the next run would do with an item: it keeps only what was said to be done."""
        known = self._model.get(key)
        row = self._do(self._journal.lookup([key])).get(key)
        now = None if gone else Facts()
        listed = FileEntry(path=key.remote, size=10)
        resume = resume_action(row, direction=key.direction, current=now, listed=listed, tags=TagState.INCOMPATIBLE)
        done = known is not None and known.state is ItemState.DONE
        assert (resume.action is Action.KEEP) == (done and not gone), resume.reason
        doubt = known is not None and known.state in (ItemState.SENT, ItemState.UNKNOWN)
        if doubt and row is not None and row.size is not None and not gone:
            wanted = Action.RECONCILE if key.direction is Direction.UPLINK else Action.MOVE
            assert resume.action is wanted, "what may have arrived is looked for before it is sent again"

    @invariant()
    def the_journal_is_what_was_acknowledged(self) -> None:
        if self._opening is not None:
            self.counts.steps += 1
            assert self._rows(self._model) == self._model

    def _rows(self, model: dict[Key, Known]) -> dict[Key, Known]:
        rows = self._do(rows_of(self._journal, _SCOPE, states=list(ItemState)))
        return {
            row.key: Known(
                state=row.state,
                attempts=row.attempts,
                call_id=row.call_id,
                sha256=row.sha256,
                verified=row.verified,
            )
            for row in rows
        }

    def _image(self) -> Path:
        """A copy of the file set as it stands, into the next life's folder."""
        self._lives += 1
        folder = self._folder / str(self._lives)
        shutil.copytree(self._path.parent, folder)
        return folder / self._path.name

    def _lives_on(self, image: Path) -> None:
        self._close()
        self._path = image
        self._open()

    def _open(self) -> None:
        self._opening = open_journal(self._path, wait_s=0.0, grouping=_GROUPING, now=lambda: 1.0)
        self._journal = self._do(self._opening.__aenter__())

    def _close(self) -> None:
        opening, self._opening = self._opening, None
        assert opening is not None
        self._do(opening.__aexit__(None, None, None))

    def _do(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self._runner.run(wait())


async def damage(path: Path, rng: random.Random) -> str | None:
    """Harm a journal of some hundred rows at `path` at random and read it: what is wrong with how that ends, if so."""
    async with open_journal(path, grouping=_GROUPING) as journal:
        await journal.record_intents([Intent(key=key_of(number, Direction.UPLINK)) for number in range(200)])
    whole = path.read_bytes()
    while (harmed := _harmed(whole, rng)) == whole:
        pass
    path.write_bytes(harmed)
    try:
        async with open_journal(path, wait_s=0.0) as journal:
            rows = await rows_of(journal, _SCOPE, states=list(ItemState))
            await journal.summary()
            await journal.lookup([key_of(number, Direction.UPLINK) for number in range(200)])
    except (ValueError, OSError):
        return None  # it says so: see sqlite_file.explained
    except Exception as error:  # noqa: BLE001 -- anything else is a traceback in a user's face
        return f"{type(error).__name__}: {error}"
    told = [row for row in rows if row.state is ItemState.DONE]
    return f"{len(told)} rows are done that never were" if told else None


def _harmed(whole: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(whole)), rng.choice((1, 2, 64, 4096))
    kind = rng.randrange(4)
    if kind == 0:
        return whole[:at]
    if kind == 1:
        return whole[:at] + rng.randbytes(size) + whole[at + size :]
    if kind == 2:
        return whole[:at] + b"\0" * size + whole[at + size :]
    return whole[:at] + whole[at + size :]
