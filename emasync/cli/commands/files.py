"""``emasync ls``, ``cat`` and ``rm``: list, print and delete files of the volume."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import anyio
import click

from emasync.cli.exit_codes import ExitCode, code_of_items
from emasync.cli.options import GlobalOptions, option, with_global_options
from emasync.cli.output import confirm, escape_name, is_interactive, size
from emasync.cli.remote_selection import (
    Selection,
    deduplicated,
    entry_fields,
    paths_or_globs,
    select,
    select_removals,
    with_glob,
)
from emasync.cli.runner import CommandContext, run_on_em
from emasync.errors import AuthError, BusyError, EMError, UnreachableError
from emasync.model import FileEntry, Glob, RemotePath, safe
from emasync.wire import requests

_Node = dict[str, "_Node"]


@click.command("ls")
@click.argument("path", default="")
@option("-l", "--long", is_flag=True, help="a line per file: bytes, time, content tag, path")
@with_glob
@with_global_options
def ls(options: GlobalOptions, *, path: str, long: bool, glob: bool) -> None:
    """List the volume, or a folder, a file or a pattern of it: as a tree, with -l as lines.

    In PATH only * and ** are wildcards, unless something has exactly that name; --glob adds ? and [...].
    With --json a line per file and folder; the time is the EM's own, which names no time zone.

    \b
    emasync ls results/
    emasync ls -l '**/*.log'
    emasync ls --glob 'run-[0-9].log'
    emasync ls --json | jq -r 'select(.type == "file") | .path'
    """
    run_on_em(options, partial(_ls, path=path, long=long, glob=glob))


async def _ls(context: CommandContext, *, path: str, long: bool, glob: bool) -> ExitCode:
    [pattern_or_path] = paths_or_globs([path], glob=glob)
    tree = await context.em.files.list()
    selections = deduplicated(select(tree, pattern_or_path))
    files = sorted(
        {entry.path: entry for selection in selections for entry in selection.files}.values(),
        key=lambda entry: entry.path,
    )
    root = selections[0].path if selections[0].is_folder else RemotePath()
    folders = sorted(folder for folder in tree.folders if selections[0].is_folder and folder.below(root))
    if context.options.json:
        for folder in folders:
            context.output.result("folder", "", path=str(folder))
        for entry in files:
            context.output.result("file", "", **entry_fields(entry))
    elif long:
        for entry in files:
            context.output.result("file", _long(entry))
    else:
        for line in _tree(files, folders, root):
            context.output.result("line", line)
    for folder in tree.unknown_below(root):
        context.output.warn(f"the EM's listing does not give the contents of {escape_name(folder) or 'the volume'}")
    total = sum(entry.size or 0 for entry in files)
    context.output.info(f"{len(files)} files in {len(folders)} folders, {size(total)}")
    return ExitCode.DONE


def _long(entry: FileEntry) -> str:
    bytes_ = "?" if entry.size is None else str(entry.size)
    tag = "-" if entry.content_tag is None else str(entry.content_tag)
    return f"{bytes_:>12}  {safe(entry.time or '-', limit=20):16}  {tag:>20}  {escape_name(entry.path)}"


def _tree(files: Sequence[FileEntry], folders: Sequence[RemotePath], root: RemotePath) -> Iterator[str]:
    """Lines like those of ``tree``; folders end in a slash. A loop, since the server may nest folders without limit."""
    top: _Node = {}
    for path in (*folders, *(entry.path for entry in files)):
        node = top
        for part in path.relative_to(root).parts:
            node = node.setdefault(part, {})
    is_folder = set(folders) | {entry.path.parent for entry in files}
    yield f"{escape_name(root)}/" if root else "/"
    open_ = [(root, iter(_with_last(top)), "")]
    while open_:
        parent, names, indent = open_[-1]
        name, inside, last = next(names, ("", None, False))
        if inside is None:
            open_.pop()
            continue
        path = parent / name
        yield f"{indent}{'└── ' if last else '├── '}{escape_name(name)}{'/' if inside or path in is_folder else ''}"
        open_.append((path, iter(_with_last(inside)), indent + ("    " if last else "│   ")))


def _with_last(node: _Node) -> list[tuple[str, _Node, bool]]:
    names = sorted(node)
    return [(name, node[name], name == names[-1]) for name in names]


@click.command("cat")
@click.argument("path")
@with_global_options
def cat(options: GlobalOptions, *, path: str) -> None:
    """Print a file of the volume: its bytes as they are, into a pipe or a file. PATH is the file's name, no pattern.

    On a terminal, control characters of the file are shown as \\xNN. The file is verified as far as the EM says what it
    should be; that is known at the end only, so a script must look at the exit code (7: not the right bytes).
    --json changes nothing here.

    \b
    emasync cat results/log.txt
    emasync cat results/frames.tar | tar -t
    """
    run_on_em(replace(options, json=False), partial(print_file, path=path))


async def print_file(context: CommandContext, *, path: str) -> ExitCode:
    """Write a file of the volume to stdout, for ``cat`` and for ``down PATH -``."""
    stdout = sys.stdout.buffer
    write = _TerminalWriter(stdout).write if sys.stdout.isatty() else partial(_write, stdout)
    async with context.em.files.stream(path) as chunks:
        async for chunk in chunks:
            await _in_thread(write, chunk)
    if sys.stdout.isatty():
        await _in_thread(write, b"")
    return ExitCode.DONE


async def _in_thread(write: Callable[[bytes], None], chunk: bytes) -> None:
    """Write in a thread that Ctrl-C abandons: a pipe whose reader does not read blocks the write."""
    await anyio.to_thread.run_sync(write, chunk, abandon_on_cancel=True)


def _write(stdout: BinaryIO, chunk: bytes) -> None:
    stdout.write(chunk)
    stdout.flush()


class _TerminalWriter:
    """Writes bytes as text: characters that do not print are escaped, except newlines and tabs."""

    def __init__(self, stdout: BinaryIO) -> None:
        self._stdout = stdout
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def write(self, chunk: bytes) -> None:
        """Write `chunk`; an empty one is the end of the file."""
        text = self._decode(chunk, not chunk).replace("\r\n", "\n")
        shown = "\n".join(
            "\t".join(safe(part, limit=sys.maxsize) for part in line.split("\t")) for line in text.split("\n")
        )
        _write(self._stdout, shown.encode(sys.stdout.encoding, "backslashreplace"))


_NAMED = 10


@click.command("rm")
@click.argument("paths", nargs=-1, required=True)
@option("-y", "--yes", is_flag=True, help="do not ask")
@option("--literal", is_flag=True, help="no path is a pattern: * is an ordinary character")
@with_glob
@with_global_options
def rm(options: GlobalOptions, *, paths: tuple[str, ...], yes: bool, literal: bool, glob: bool) -> None:
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
    run_on_em(options, partial(_rm, wanted=wanted, literal=literal, yes=yes))


async def _rm(context: CommandContext, *, wanted: Sequence[str | Glob], literal: bool, yes: bool) -> ExitCode:
    if not yes and not is_interactive():
        raise ValueError("rm asks before it deletes, and there is no terminal to ask on: add -y")
    selections = select_removals(await context.em.files.list(), wanted, literal=literal)
    if not yes and not await _is_confirmed(selections):
        context.output.info("nothing was deleted")
        return ExitCode.FAILED
    for selection in selections:
        _check_name(selection)
    failed: list[BaseException] = []
    for selection in selections:
        try:
            await context.em.files.delete(selection.path, expected=selection.files)
        except (AuthError, BusyError, UnreachableError):
            raise  # the other deletions would fail alike
        except (EMError, ValueError) as error:  # ValueError: a name that no request can carry
            context.output.error(error)
            failed.append(error)
        else:
            text = f"deleted {_described(selection)}"
            fields = {"path": str(selection.path), "files": len(selection.files), "bytes": selection.size}
            context.output.result("deleted", text, **fields)
    return code_of_items(failed, items=len(selections))


def _check_name(selection: Selection) -> None:
    """Raise a ValueError for a name that no request can carry, before anything is deleted."""
    try:
        requests.delete(requests.Volume(), selection.path)
    except ValueError as error:
        hint = "nothing was deleted; delete the folder it lies in, or rename it with a pod"
        raise ValueError(f"{error}: {hint}") from None


async def _is_confirmed(selections: Sequence[Selection]) -> bool:
    """Ask on the terminal whether `selections` shall be deleted."""
    lines = [f"  {_described(selection)}" for selection in selections[:_NAMED]]
    if len(selections) > _NAMED:
        lines.append(f"  and {len(selections) - _NAMED} more")
    files, total = sum(len(found.files) for found in selections), sum(found.size for found in selections)
    for line in lines:
        print(safe(line, limit=2000), file=sys.stderr)
    return await confirm(f"Delete {files} files ({size(total)})?")


def _described(selection: Selection) -> str:
    path = escape_name(selection.path)
    unlisted = " and what the EM does not list" if selection.unlisted else ""
    return f"{path}/ with {len(selection.files)} files{unlisted}" if selection.is_folder else path
