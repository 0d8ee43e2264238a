"""What a sync deletes on its target: consent, the last look before each deletion, and its outcome.

Which files only the target has is decided in `planning.diff`. Must not import engine or sync.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from emasync.disk import Unchanged, remove_file
from emasync.errors import (
    DeletionRefusedError,
    EMError,
    ProtocolError,
    TargetChangedError,
    UnknownOutcomeError,
    UnsafePathError,
)
from emasync.http.pipeline import RequestStats
from emasync.model import (
    Direction,
    FileTree,
    Outcome,
    OutcomeAction,
    OutcomeState,
    RemotePath,
    SyncDecision,
    SyncSummary,
    safe,
)
from emasync.transfer.context import TransferRun
from emasync.transfer.options import SyncOptions
from emasync.transfer.planning.plan import DownlinkItem, prefix
from emasync.transfer.state.transfer_journal import FileResult
from emasync.transfer.sync_sides import Sides

_DELETED = "deleted: not at the source"
_OTHERS_FAILED = "not deleted, because other files failed"


async def agree(summary: SyncSummary, options: SyncOptions) -> None:
    """Return if the deletions of `summary` may be done, else raise DeletionRefusedError.

    With nobody to ask they may, unless the source is empty: that is what an unmounted disk or a filter that leaves
    nothing looks like, and it takes `allow_empty_source`.
    """
    if not summary.delete_files:
        return
    here, there = ("on the EM", "here") if summary.side == "remote" else ("here", "on the EM")
    what = f"all {summary.delete_files:,} files {here}" if summary.empties else f"{summary.delete_files:,} files {here}"
    if options.confirm is not None:
        if await options.confirm(summary):
            return
        why = f"the answer to whether {what} may be deleted was no"
    elif summary.empties and not options.allow_empty_source:
        has = f"the filters leave none of the files of the source ({there})"
        has = has if summary.source_excluded else f"the source ({there}) has no files"
        why = f"{has}, so {what} would be deleted; if that is meant: allow_empty_source (--allow-empty-source)"
    else:
        return
    raise DeletionRefusedError(
        f"nothing was moved or deleted: {why}",
        side=summary.side,
        files=summary.delete_files,
        bytes=summary.delete_bytes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """The deletions that `decisions` on `sides` ask for."""

    run: TransferRun
    sides: Sides
    decisions: Iterable[SyncDecision]

    @property
    def paths(self) -> list[RemotePath]:
        """What is to be deleted, below the synced folder."""
        return [decision.path for decision in self.decisions if decision.action == "delete"]

    def _remote(self, path: RemotePath) -> RemotePath:
        return self.sides.remote_dir / path

    def register(self) -> None:
        """Have a result for each of these files, whatever ends the sync."""
        files = [DownlinkItem(remote=self._remote(path), local_path=path) for path in self.paths]
        self.run.tracker.register(files, directory=prefix(self.sides.local_dir))

    async def carry_out(self) -> None:
        """Delete; last, and only if everything else went well. A file that changed since it was compared is kept."""
        paths = self.paths
        if not paths:
            return
        if not self.run.tracker.ok:
            self.run.tracker.note(f"{len(paths)} files were not deleted, because other files failed")
            await self._record_outcomes(
                *(self._outcome(path, OutcomeState.SKIPPED, reason=_OTHERS_FAILED) for path in paths)
            )
        elif self.sides.direction is Direction.UPLINK:
            await self._delete_remote(paths)
        else:
            to_delete = frozenset(paths)
            seen = {file.relative: file.fingerprint for file in self.sides.scan.found if file.relative in to_delete}
            for path in paths:
                await self._delete(path, partial(self._delete_local, path, Unchanged(fingerprint=seen[path])))

    async def _delete_local(self, path: RemotePath, unchanged: Unchanged) -> None:
        directory, guard = self.sides.local_dir, self.run.root_guard
        await self.run.context.threads.run(partial(remove_file, directory, path, root_guard=guard, unchanged=unchanged))

    async def _delete_remote(self, paths: list[RemotePath]) -> None:
        """Transfers and a question took time: a file is deleted only if a new listing shows it as it was. A listing
        that is made meanwhile, because a response was lost, is used for the remaining files."""
        fresh = self.sides.tree

        async def relist() -> FileTree:
            nonlocal fresh
            fresh = await self.run.listing.fresh()
            return fresh

        try:
            await relist()
        except EMError as error:
            for path in paths:
                text = f"{safe(self._remote(path))}: not deleted, the EM cannot list: {error}"
                await self._fail(path, EMError(text))
            return
        for path in paths:
            remote = self._remote(path)
            if not fresh.is_known(remote):
                text = f"{safe(remote)}: not deleted, the EM's listing no longer tells whether it is there"
                await self._fail(path, ProtocolError(text))
            elif remote not in fresh:
                reason = "gone from the EM before it was to be deleted"
                await self._record_outcomes(self._outcome(path, OutcomeState.SKIPPED, reason=reason))
            else:
                await self._delete(path, partial(self._delete_one_remote, path, fresh, relist))

    async def _delete_one_remote(
        self, path: RemotePath, fresh: FileTree, relist: Callable[[], Awaitable[FileTree]]
    ) -> None:
        remote = self._remote(path)
        if (why := fresh.mistakable(remote)) is not None:  # a listing can hold any name
            text = f"{safe(remote)} is not deleted: {why}, and the EM may take one for the other"
            raise UnsafePathError(text, name=remote, reason=why)
        entry = fresh[remote]
        if entry != self.sides.tree.get(remote):
            raise TargetChangedError(f"{safe(remote)} changed on the EM since it was compared; it was kept as it is")
        if await self.run.context.threads.run(os.path.lexists, self.sides.local_dir / path):
            raise TargetChangedError(f"{safe(remote)} appeared here since it was compared; it was kept on the EM")
        stats = RequestStats(parent=self.run.stats)
        try:
            await self.run.context.files.with_stats(stats).delete(remote, expected=[entry], relist=relist)
        finally:
            if stats.requests:
                self.run.tracker.mark_sent([remote])  # a deadline that cuts it off leaves it unknown

    async def _delete(self, path: RemotePath, delete: Callable[[], Awaitable[None]]) -> None:
        try:
            await delete()
        except UnknownOutcomeError as error:
            outcome = self._outcome(path, OutcomeState.UNKNOWN, reason=str(error), error=error)
        except (EMError, OSError, ValueError) as error:  # ValueError: a name that no request can carry
            await self._fail(path, error)
            return
        else:
            outcome = self._outcome(path, OutcomeState.DONE, reason=_DELETED)
        await self._record_outcomes(outcome)

    async def _fail(self, path: RemotePath, error: Exception) -> None:
        await self._record_outcomes(self._outcome(path, OutcomeState.FAILED, reason="not deleted", error=error))

    async def _record_outcomes(self, *outcomes: Outcome) -> None:
        await self.run.tracker.record([FileResult(outcome=outcome, remember=False) for outcome in outcomes])

    def _outcome(
        self, path: RemotePath, state: OutcomeState, *, reason: str, error: Exception | None = None
    ) -> Outcome:
        return Outcome(
            path=self._remote(path),
            place=prefix(self.sides.local_dir) + path,
            direction=self.sides.direction,
            state=state,
            reason=reason,
            error=error,
            action=OutcomeAction.DELETE,
        )
