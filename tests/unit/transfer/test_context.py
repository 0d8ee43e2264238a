"""One listing for many askers, and never one that is older than the question."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from emasync.errors import UnreachableError
from emasync.model import FileTree
from emasync.transfer.context import SharedListing


class Volume:
    """Lists are numbered by the moment they began; each waits for `gate`."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = anyio.Event()
        self.gate.set()
        self.fails = 0

    async def list(self) -> FileTree:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        await anyio.lowlevel.checkpoint()
        if self.fails:
            self.fails -= 1
            raise UnreachableError("down")
        return FileTree([], folders=[str(number)])


def number_of(listing: FileTree) -> int:
    """Which listing of the volume it is."""
    return int(listing.folders[0])


@pytest.fixture
def volume() -> Volume:
    return Volume()


async def test_a_question_gets_a_listing_of_its_own(volume: Volume) -> None:
    shared = SharedListing(volume.list)
    assert [number_of(await shared.fresh()) for _ in range(3)] == [1, 2, 3]


async def test_a_listing_begun_before_the_question_is_no_answer(volume: Volume) -> None:
    # Sabotage: `self._begun < seen`: the file sent meanwhile would be missing from it, and be sent again.
    shared, got = SharedListing(volume.list), []
    volume.gate = anyio.Event()

    async def ask() -> None:
        got.append(number_of(await shared.fresh()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        for _ in range(20):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        volume.gate.set()
    assert got == [1] + [2] * 20
    assert volume.begun == 2


@pytest.mark.parametrize("how", ["fails", "cancelled"])
async def test_after_a_listing_that_came_to_nothing_no_older_one_is_given(volume: Volume, how: str) -> None:
    # Sabotage: keep `_last` while the next is made: the waiter gets the listing of before its question.
    shared, got = SharedListing(volume.list), []
    assert number_of(await shared.fresh()) == 1
    volume.gate = anyio.Event()
    volume.fails = 1 if how == "fails" else 0
    scope = anyio.CancelScope()

    async def first() -> None:
        with scope:
            if how == "fails":
                with pytest.raises(UnreachableError):
                    await shared.fresh()
            else:
                await shared.fresh()

    async def second() -> None:
        got.append(number_of(await shared.fresh()))

    async with anyio.create_task_group() as tasks:
        holder = anyio.Lock()
        async with holder:  # both ask before either has begun
            tasks.start_soon(first)
            tasks.start_soon(second)
        await anyio.wait_all_tasks_blocked()
        if how == "cancelled":
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
        volume.gate.set()
    assert got == [3]
