"""``emasync ls``: what is in the volume.

Owns: its flags and the three forms of a listing. May import this room; a Client is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.out import escape_name
from emasync.cli.remote import choose, entry_fields, paths_or_globs, with_glob, without_doubles
from emasync.cli.show import size
from emasync.model import FileEntry, RemotePath, safe

_Node = dict[str, "_Node"]


@click.command("ls")
@click.argument("path", default="")
@option("-l", "--long", is_flag=True, help="a line per file: bytes, time, content tag, path")
@with_glob
@with_em
def ls(asked: GlobalOptions, *, path: str, long: bool, glob: bool) -> None:
    """List the volume, or a folder, a file or a pattern of it: as a tree, with -l as lines.

    In PATH only * and ** are wildcards, unless something has exactly that name; --glob adds ? and [...].
    With --json a line per file and folder; the time is the EM's own, which names no time zone.

    \b
    emasync ls results/
    emasync ls -l '**/*.log'
    emasync ls --glob 'run-[0-9].log'
    emasync ls --json | jq -r 'select(.type == "file") | .path'
    """
    run_on_em(asked, partial(_ls, path=path, long=long, glob=glob))


async def _ls(at: CommandContext, *, path: str, long: bool, glob: bool) -> ExitCode:
    [wanted] = paths_or_globs([path], glob=glob)
    tree = await at.em.files.list()
    chosen = without_doubles(choose(tree, wanted))
    files = sorted({entry.path: entry for one in chosen for entry in one.files}.values(), key=lambda entry: entry.path)
    root = chosen[0].path if chosen[0].is_folder else RemotePath()
    folders = sorted(folder for folder in tree.folders if chosen[0].is_folder and folder.below(root))
    if at.asked.json:
        for folder in folders:
            at.out.result("folder", "", path=str(folder))
        for entry in files:
            at.out.result("file", "", **entry_fields(entry))
    elif long:
        for entry in files:
            at.out.result("file", _long(entry))
    else:
        for line in _tree(files, folders, root):
            at.out.result("line", line)
    for folder in tree.unknown_below(root):
        at.out.warn(f"the EM's listing does not give the contents of {escape_name(folder) or 'the volume'}")
    total = sum(entry.size or 0 for entry in files)
    at.out.say(f"{len(files)} files in {len(folders)} folders, {size(total)}")
    return ExitCode.DONE


def _long(entry: FileEntry) -> str:
    bytes_ = "?" if entry.size is None else str(entry.size)
    tag = "-" if entry.content_tag is None else str(entry.content_tag)
    return f"{bytes_:>12}  {safe(entry.time or '-', limit=20):16}  {tag:>20}  {escape_name(entry.path)}"


def _tree(files: Sequence[FileEntry], folders: Sequence[RemotePath], root: RemotePath) -> Iterator[str]:
    """Lines as of ``tree``; folders end in a slash. Nesting is the server's choice, so this is a loop."""
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
