"""``emasync rm``: delete files and folders of the volume, after asking.

Owns: what is asked before, and what is said of each path after. May import this room; a Client is handed in.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import anyio
import click

from emasync.cli.exit_codes import ExitCode, code_of_items
from emasync.cli.job import At, run_on_em
from emasync.cli.options import Asked, option, with_em
from emasync.cli.remote import Chosen, choose_all
from emasync.cli.show import size
from emasync.errors import AuthError, BusyError, EMError, UnreachableError
from emasync.model import safe

_NAMED = 10


@click.command("rm")
@click.argument("paths", nargs=-1, required=True)
@option("-y", "--yes", is_flag=True, help="do not ask")
@with_em
def rm(asked: Asked, *, paths: tuple[str, ...], yes: bool) -> None:
    """Delete files, folders with all that is in them, and the files that match patterns.

    Asks first, and says how many files would go; without a terminal to ask on, -y is needed.

    \b
    emasync rm results/old.bin 'results/*.tmp'
    emasync rm -y results/
    """
    run_on_em(asked, partial(_rm, paths=paths, yes=yes))


async def _rm(at: At, *, paths: Sequence[str], yes: bool) -> ExitCode:
    if not yes and not sys.stdin.isatty():
        raise ValueError("rm asks before it deletes, and there is no terminal to ask on: add -y")
    chosen = choose_all(await at.em.files.list(), paths)
    if any(not one.path for one in chosen):
        raise ValueError("rm does not delete the whole volume; name files or folders, for example `emasync rm '*'`")
    if not yes and not await _agreed(chosen):
        at.out.say("nothing was deleted")
        return ExitCode.FAILED
    failed: list[BaseException] = []
    for one in chosen:
        try:
            await at.em.files.delete(one.path)
        except (AuthError, BusyError, UnreachableError):
            raise  # the others would fare no better
        except (EMError, ValueError) as error:  # ValueError: a name that cannot be asked for
            at.out.error(error)
            failed.append(error)
        else:
            text = f"deleted {_described(one)}"
            at.out.result("deleted", text, path=str(one.path), files=len(one.files), bytes=one.size)
    return code_of_items(failed, items=len(chosen))


async def _agreed(chosen: Sequence[Chosen]) -> bool:
    """Ask on the terminal. No thread, and no read that blocks: Ctrl-C must end this at once."""
    lines = [f"  {_described(one)}" for one in chosen[:_NAMED]]
    if len(chosen) > _NAMED:
        lines.append(f"  and {len(chosen) - _NAMED} more")
    files, total = sum(len(one.files) for one in chosen), sum(one.size for one in chosen)
    for line in lines:
        print(safe(line, limit=2000), file=sys.stderr)
    print(f"Delete {files} files ({size(total)})? [y/N] ", end="", file=sys.stderr, flush=True)
    await anyio.wait_readable(sys.stdin)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _described(one: Chosen) -> str:
    return f"{one.path}/ with {len(one.files)} files" if one.is_folder else str(one.path)
