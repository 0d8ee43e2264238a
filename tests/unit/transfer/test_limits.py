"""Where no more files can be opened, fewer items run, each is tried again, and nothing goes on for ever."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from emasync.disk import FileExecutor, digest_file
from emasync.errors import UnreachableError
from emasync.transfer import sync_sides
from emasync.transfer.limits import ALONE_WAITS_S, OpenFileLimiter
from emasync.transfer.planning.scan import scan
from emasync.transfer.worker_pool import WorkerPool

SHORTAGES = (errno.EMFILE, errno.ENFILE)
Result = Exception | None


class Limit:
    """Items of which only so many can run at once; the others meet a shortage. Counts, and notes what was told."""

    def __init__(self, most: int, *, number: int = errno.EMFILE) -> None:
        self.most, self.number = most, number
        self.running = self.attempts = self.rooms = 0
        self.notes: list[str] = []
        self.slept: list[float] = []
        self.limiter = OpenFileLimiter(self.notes.append, make_room=self._make_room, sleep=self._sleep)
        self.ends: list[Result] = []

    def _make_room(self) -> None:
        self.rooms += 1

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def _attempt(self) -> Result:
        self.attempts += 1
        await anyio.lowlevel.checkpoint()
        if self.running >= self.most:
            return OSError(self.number, "Too many open files")
        self.running += 1
        try:
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
        finally:
            self.running -= 1
        return None

    async def item(self, _: int) -> None:
        self.ends.append(await self.limiter.run(self._attempt, shortage=lambda end: end))


# Sabotage: leave `self.limit = ...` out of `OpenFileLimiter.on_shortage`: nobody waits for another, it is tried without
# an end; or note each time; or leave `_make_room` out.
@pytest.mark.parametrize("number", SHORTAGES)
@pytest.mark.parametrize("most", [1, 3, 10])
async def test_no_item_fails_as_long_as_one_at_a_time_can_run(most: int, number: int) -> None:
    limit = Limit(most, number=number)
    with anyio.fail_after(20):
        await WorkerPool().run(range(200), limit.item, workers=64)
    assert limit.ends == [None] * 200
    assert limit.limiter.limit <= 64
    assert limit.attempts <= 200 + 64 * 7  # each of those that began at the same time, once for each halving
    assert len(limit.notes) == 1
    assert limit.rooms == limit.attempts - 200


# Sabotage: halve at each shortage, whatever the limit when it began with (`if True` for `slot.limit == self.limit`).
async def test_items_that_began_together_lower_it_once() -> None:
    limit = Limit(0)
    limiter = limit.limiter
    async with limiter.slot() as one, limiter.slot() as two, limiter.slot() as three, limiter.slot() as four:
        assert [limiter.on_shortage(slot) for slot in (one, two, three, four)] == [True] * 4
    assert limiter.limit == 2


# Sabotage: `return True` for a slot of limit 1: it is tried for ever, and the time limit ends the test.
async def test_an_item_that_finds_no_open_file_even_alone_fails_with_that_error() -> None:
    limit = Limit(0)
    with anyio.fail_after(20):
        await limit.item(0)
    assert [getattr(end, "errno", None) for end in limit.ends] == [errno.EMFILE]
    assert limit.slept == list(ALONE_WAITS_S)
    assert limit.attempts == 2 + len(ALONE_WAITS_S)


# Sabotage: let `OpenFileLimiter.wait` begin anew when its waits are used up: 400 files would wait for half an hour; or
# leave `self.on_success()` out of `run`: the last one is not waited for.
async def test_many_items_that_find_no_open_file_wait_once_for_all_and_again_after_one_that_did() -> None:
    limit = Limit(0)
    with anyio.fail_after(20):
        await WorkerPool().run(range(50), limit.item, workers=8)
    assert [getattr(end, "errno", None) for end in limit.ends] == [errno.EMFILE] * 50
    assert limit.slept == list(ALONE_WAITS_S)
    limit.most = 1
    await limit.item(0)
    limit.most = 0
    await limit.item(0)
    assert limit.slept == list(ALONE_WAITS_S) * 2


# Sabotage: `return isinstance(error, OSError)` in `is_out_of_files`.
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), UnreachableError("no connection"), None])
async def test_other_errors_lower_nothing(error: Result) -> None:
    limit = Limit(1)

    async def attempt() -> Result:
        return error

    assert await limit.limiter.run(attempt, shortage=lambda end: end) is error
    assert (limit.limiter.limit, limit.notes) == (math.inf, [])


def failing(times: int, call: Callable[..., Any]) -> Callable[..., Any]:
    left = iter(range(times))

    def run(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is not None:
            raise OSError(errno.EMFILE, "Too many open files")
        return call(*args, **kwargs)

    return run


# Sabotage: `raise` at once in `_Walk._read_folder`.
def test_a_folder_that_cannot_be_opened_for_want_of_files_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_text("x")
    slept: list[float] = []
    monkeypatch.setattr(os, "scandir", failing(2, os.scandir))
    found = scan([f"{tmp_path}/"], sleep=slept.append)
    assert ([one.relative for one in found.found], found.refused, slept) == (["f"], (), [0.5, 1.5])
    monkeypatch.setattr(os, "scandir", failing(9, os.scandir))
    assert "Too many open files" in str(scan([f"{tmp_path}/"], sleep=slept.append).refused[0].error)


# Sabotage: `digest = await read()` in `sync_sides._read`: the file counts as one whose content is not known.
async def test_a_file_that_cannot_be_hashed_for_want_of_open_files_is_hashed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_text("x")
    monkeypatch.setattr(sync_sides, "digest_file", failing(1, digest_file))
    async with FileExecutor(size=1) as threads:
        tags = await sync_sides.content_tags(scan([f"{tmp_path}/"]).found, threads=threads, cache=None)
    assert list(tags) == ["f"]
