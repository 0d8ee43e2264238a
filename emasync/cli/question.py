"""A question on the terminal, and its answer.

Owns: how a verb asks before it deletes. May import show and model. Nothing is asked where there is no terminal.
"""

from __future__ import annotations

import sys

import anyio

from emasync.cli.show import size
from emasync.model import SyncSummary, safe


async def ask(text: str) -> bool:
    """Whether the answer to `text` is yes. No thread, and no read that blocks: Ctrl-C must end this at once."""
    print(f"{safe(text, limit=2000)} [y/N] ", end="", file=sys.stderr, flush=True)
    await anyio.wait_readable(sys.stdin)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def deletion_question(summary: SyncSummary, *, local: str, remote: str) -> str:
    """What a sync that deletes is about to do, on either side, as a question."""
    mine, theirs = f"this machine ({safe(local)})", f"the EM ({safe(remote) or '/'})"
    here, there = (theirs, mine) if summary.side == "remote" else (mine, theirs)
    holds = f"{summary.source_files:,} files ({size(summary.source_bytes)}) on {there}"
    held = f"{summary.target_files:,} ({size(summary.target_bytes)}) on {here}"
    left = f" ({summary.source_excluded:,} left out by filters)" if summary.source_excluded else ""
    where = "the EM" if summary.side == "remote" else "this machine"
    warning = f"The source is EMPTY{left}: " if summary.empties else ""
    return (
        f"{warning}{holds}, {held}. Copy {summary.copy_files:,} files ({size(summary.copy_bytes)}) and delete "
        f"{summary.delete_files:,} ({size(summary.delete_bytes)}) on {where}?"
    )
