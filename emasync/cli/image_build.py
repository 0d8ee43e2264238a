"""``emasync image build``: check a context, send it up, build it on the EM.

Owns: the order of these steps. What is checked is in `preflight`. May import this room, and transfer's `scan` so that
the check sees the very files that the uplink will send.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from anyio import to_thread

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.errors import BuildFailedError
from emasync.model import RemotePath


@click.command("build")
@click.argument("name")
@with_em
@option("--context", required=True, metavar="DIR", help="the folder to build (with --no-uplink: of the volume)")
@option("--dockerfile", default="Dockerfile", show_default=True, metavar="FILE", help="its path inside the context")
@option("--remote", metavar="FOLDER", help="where in the volume to put the context [the folder's name]")
@option("--no-uplink", is_flag=True, help="the context is in the volume already")
def image_build(
    asked: GlobalOptions,
    name: str,
    context: str,
    dockerfile: str,
    remote: str | None,
    no_uplink: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Build the image NAME on the EM from a folder with a Dockerfile.

    Before anything is sent: the Dockerfile is there, what it copies is in the context (.dockerignore counts), and the
    images it starts from are named, because the EM builds without a network.

    \b
    emasync image build echo-test --context ./echo-test
    emasync image build echo-test --context echo-test --no-uplink
    """
    if no_uplink:
        if remote is not None:
            raise click.UsageError("--remote is where an uplink goes; with --no-uplink there is none")
        run_on_em(asked, partial(_build, name=name, dockerfile=dockerfile, folder=RemotePath(context), bases=()))
    else:
        here = Path(context)
        folder = RemotePath(here.resolve().name if remote is None else remote)
        run_on_em(asked, partial(_send_and_build, name=name, context=here, dockerfile=dockerfile, folder=folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a context comes to: `exclude` are gitignore patterns for the uplink."""

    bases: Sequence[str]
    faults: Sequence[str]
    exclude: Sequence[str]


async def _send_and_build(
    at: CommandContext, *, name: str, context: Path, dockerfile: str, folder: RemotePath
) -> ExitCode:
    plan = await to_thread.run_sync(_plan, context, dockerfile)
    for fault in plan.faults:
        at.out.error(fault)
    if plan.faults:
        return ExitCode.USAGE
    if plan.bases:
        at.out.say(f"FROM {', '.join(plan.bases)}: the EM builds without a network, so this must be onboard already")
    # Imported here: the engine and what it draws with are of no use to a context that is refused.
    from emasync.cli.image_uplink import uplink_all

    await uplink_all(at, [f"{context}/"], folder, exclude=plan.exclude)
    return await _build(at, name=name, dockerfile=dockerfile, folder=folder, bases=plan.bases)


async def _build(
    at: CommandContext, *, name: str, dockerfile: str, folder: RemotePath, bases: Sequence[str]
) -> ExitCode:
    at.out.say(f"building {name} on the EM; this may take minutes")
    try:
        await at.em.images.build(name, dockerfile=folder / dockerfile, context=folder or ".")
    except BuildFailedError as error:
        if at.out.as_json:
            at.out.result("build_log", "", lines=list(error.log_tail))
        raise
    at.out.result("built", f"built {name}", image=name, context=folder, bases=list(bases))
    at.out.say(f"next: emasync pod run {name} --wait")
    return ExitCode.DONE


def _plan(context: Path, dockerfile: str) -> _Plan:
    """Reads the disk: run it in a thread."""
    from emasync.cli.preflight import build_faults, excluded, read_dockerfile
    from emasync.transfer.planning.filters import Filters
    from emasync.transfer.planning.scan import scan

    if not context.is_dir():
        return _Plan(bases=(), faults=[f"{context} is no folder of this machine; give --context DIR"], exclude=())
    names = [one.relative for one in scan([f"{context}/"]).found]
    if dockerfile not in names:
        why = f"no {dockerfile} in {context} (--dockerfile is a path inside the context)"
        return _Plan(bases=(), faults=[why], exclude=())
    recipe = read_dockerfile((context / dockerfile).read_text(encoding="utf-8", errors="replace"))
    ignore = _ignore_lines(context, dockerfile)
    exclude = excluded(names, ignore, keep={dockerfile, ".dockerignore", f"{dockerfile}.dockerignore"})
    filters = Filters(exclude=tuple(exclude))
    return _Plan(
        bases=recipe.bases,
        faults=build_faults(recipe, [name for name in names if filters.takes(name)]),
        exclude=exclude,
    )


def _ignore_lines(context: Path, dockerfile: str) -> list[str]:
    """The Dockerfile's own ignore file goes before the context's, as in BuildKit."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        if (context / name).is_file():
            return (context / name).read_text(encoding="utf-8", errors="replace").splitlines()
    return []
