"""The flags of a sync that deletes, and who agrees to it.

Owns: these flags, declared once for both directions. May import options and question.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import click

from emasync.cli.options import F, GlobalOptions, option
from emasync.cli.question import ask, can_ask, deletion_question
from emasync.model import SyncSummary


class _Keywords(TypedDict):
    delete: bool
    max_delete: int | None
    allow_empty_source: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionFlags:
    """As given. `yes` answers the question, and agrees to nothing else."""

    delete: bool = False
    max_delete: int | None = None
    allow_empty_source: bool = False
    yes: bool = False

    @property
    def keywords(self) -> _Keywords:
        """For `Client.sync_up` and `Client.sync_down`."""
        return _Keywords(delete=self.delete, max_delete=self.max_delete, allow_empty_source=self.allow_empty_source)

    def check_remote(self, remote: str) -> None:
        """A usage error for an empty REMOTE beside --delete: a shell makes that of an unset variable."""
        if self.delete and not remote:
            raise click.UsageError("an empty REMOTE is the whole volume; with --delete write / for it")

    def question(
        self, asked: GlobalOptions, *, local: str, remote: str
    ) -> Callable[[SyncSummary], Awaitable[bool]] | None:
        """Asks at the terminal about these two folders; None where nobody is to be asked."""
        if not self.delete or self.yes or asked.json or not can_ask():
            return None

        async def confirm(summary: SyncSummary) -> bool:
            return await ask(deletion_question(summary, local=local, remote=remote))

        return confirm


_FLAGS = (
    option("--delete", is_flag=True, help="delete what only the target has; never if anything failed"),
    option("--max-delete", type=click.IntRange(0), help="delete nothing if it would be more files than this"),
    option("--allow-empty-source", is_flag=True, help="with --delete: empty the target where the source has no files"),
    option("-y", "--yes", is_flag=True, help="do not ask before deleting; an empty source still needs its own flag"),
)
_NAMES = tuple(DeletionFlags.__dataclass_fields__)


def with_deletion_flags(function: F) -> F:
    """Give a sync these flags, as its keyword `deletion`."""

    @functools.wraps(function)
    def called(*args: Any, **values: Any) -> Any:
        deletion = DeletionFlags(**{name: values.pop(name) for name in _NAMES})
        return function(*args, deletion=deletion, **values)

    for decorate in reversed(_FLAGS):
        called = decorate(called)
    return called  # type: ignore[return-value]
