"""``emasync rm``: delete files and folders of the volume, after asking.

Owns: what is asked before, and what is said of each path after. May import this room; a Client is handed in.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import click

from emasync.cli.exit_codes import ExitCode, code_of_items
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.out import escape_name
from emasync.cli.question import ask, can_ask
from emasync.cli.remote import Chosen, paths_or_globs, with_glob
from emasync.cli.removal import choose_removals
from emasync.cli.show import size
from emasync.errors import AuthError, BusyError, EMError, UnreachableError
from emasync.model import Glob, safe
from emasync.wire import requests

_NAMED = 10


@click.command("rm")
@click.argument("paths", nargs=-1, required=True)
@option("-y", "--yes", is_flag=True, help="do not ask")
@option("--literal", is_flag=True, help="no path is a pattern: * is an ordinary character")
@with_glob
@with_em
def rm(asked: GlobalOptions, *, paths: tuple[str, ...], yes: bool, literal: bool, glob: bool) -> None:
    """Delete files, folders with all that is in them, and the files that match patterns.

    A path with * is always a pattern of files, in which * and ** are wildcards and nothing else; with --glob every path
    is one, with ? and [...] too; with --literal none is. Any other path is the one file or folder of exactly
    that name; with a slash at its end only a folder. Where one path names nothing, nothing is deleted (code 3).

    Asks first, and says how many files would go; without a terminal to ask on, -y is needed.

    \b
    emasync rm results/old.bin 'results/*.tmp'
    emasync rm -y results/
    emasync rm --literal 'what*.log'
    """
    if literal and glob:
        raise click.UsageError("--literal and --glob contradict each other: give one of them")
    wanted = paths_or_globs(paths, glob=glob)
    run_on_em(asked, partial(_rm, wanted=wanted, literal=literal, yes=yes))


async def _rm(at: CommandContext, *, wanted: Sequence[str | Glob], literal: bool, yes: bool) -> ExitCode:
    if not yes and not can_ask():
        raise ValueError("rm asks before it deletes, and there is no terminal to ask on: add -y")
    chosen = choose_removals(await at.em.files.list(), wanted, literal=literal)
    if not yes and not await _agreed(chosen):
        at.out.say("nothing was deleted")
        return ExitCode.FAILED
    for one in chosen:
        _check_name(one)
    failed: list[BaseException] = []
    for one in chosen:
        try:
            await at.em.files.delete(one.path, expected=one.files)
        except (AuthError, BusyError, UnreachableError):
            raise  # the others would fare no better
        except (EMError, ValueError) as error:  # ValueError: a name that cannot be asked for
            at.out.error(error)
            failed.append(error)
        else:
            text = f"deleted {_described(one)}"
            at.out.result("deleted", text, path=str(one.path), files=len(one.files), bytes=one.size)
    return code_of_items(failed, items=len(chosen))


def _check_name(one: Chosen) -> None:
    """ValueError, before anything is deleted, for a name that no request can carry."""
    try:
        requests.delete(requests.Volume(), one.path)
    except ValueError as error:
        hint = "nothing was deleted; delete the folder it lies in, or rename it with a pod"
        raise ValueError(f"{error}: {hint}") from None


async def _agreed(chosen: Sequence[Chosen]) -> bool:
    """Ask on the terminal."""
    lines = [f"  {_described(one)}" for one in chosen[:_NAMED]]
    if len(chosen) > _NAMED:
        lines.append(f"  and {len(chosen) - _NAMED} more")
    files, total = sum(len(one.files) for one in chosen), sum(one.size for one in chosen)
    for line in lines:
        print(safe(line, limit=2000), file=sys.stderr)
    return await ask(f"Delete {files} files ({size(total)})?")


def _described(one: Chosen) -> str:
    path = escape_name(one.path)
    unlisted = " and what the EM does not list" if one.unlisted else ""
    return f"{path}/ with {len(one.files)} files{unlisted}" if one.is_folder else path
