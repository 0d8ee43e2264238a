"""``emasync image build``, ``load``, ``push`` and ``ls``.

The checks are in `dockerfile` and `docker_archive`, each imported by the command that needs it; what fails them is not
sent.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
from anyio import to_thread

from emasync.cli.exit_codes import ExitCode
from emasync.cli.main import LazyGroup
from emasync.cli.options import GlobalOptions, option, with_global_options
from emasync.cli.output import escape_name
from emasync.cli.remote_selection import removal_command
from emasync.cli.runner import CommandContext, run_on_em
from emasync.cli.settings import client_settings
from emasync.config import Settings
from emasync.errors import BuildFailedError, EMError, ImageLoadError
from emasync.model import RemotePath, safe

_COMMANDS = {
    "build": ("image:image_build", "build an image on the EM from a folder with a Dockerfile"),
    "load": ("image:image_load", "load an image from a tar that is in the volume"),
    "ls": ("image:image_ls", "list the images you may run"),
    "push": ("image:image_push", "check a tar of docker save, send it up and load it"),
}


@click.command("image", cls=LazyGroup, lazy_commands=_COMMANDS)
def image() -> None:
    """Build, load, push and list Docker images.

    \b
    emasync image build echo-test --context ./echo-test
    emasync image push echo-test.tar --image echo-test --rm-tar
    """


@click.command("build")
@click.argument("name")
@with_global_options
@option("--context", required=True, metavar="DIR", help="the folder to build (with --no-uplink: of the volume)")
@option("--dockerfile", default="Dockerfile", show_default=True, metavar="FILE", help="its path inside the context")
@option("--remote", metavar="FOLDER", help="where in the volume to put the context [the folder's name]")
@option("--no-uplink", is_flag=True, help="the context is in the volume already")
def image_build(  # noqa: PLR0913 - click: one parameter for each flag
    options: GlobalOptions,
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
        run_on_em(options, partial(_build, name=name, dockerfile=dockerfile, folder=RemotePath(context), bases=()))
    else:
        local = Path(context)
        folder = RemotePath(local.resolve().name if remote is None else remote)
        run_on_em(options, partial(_send_and_build, name=name, directory=local, dockerfile=dockerfile, folder=folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class _BuildPlan:
    """A checked build context. `bases`: images in FROM lines; `exclude`: gitignore patterns for the uplink."""

    bases: Sequence[str]
    problems: Sequence[str]
    exclude: Sequence[str]


async def _send_and_build(
    context: CommandContext, *, name: str, directory: Path, dockerfile: str, folder: RemotePath
) -> ExitCode:
    plan = await to_thread.run_sync(_plan_build, directory, dockerfile)
    for problem in plan.problems:
        context.output.error(problem)
    if plan.problems:
        return ExitCode.USAGE
    if plan.bases:
        context.output.info(
            f"FROM {', '.join(plan.bases)}: the EM builds without a network, so this must be onboard already"
        )
    # Imported here: a context that is refused needs neither the engine nor a progress display.
    from emasync.cli.transfer_runner import uplink_all

    await uplink_all(context, [f"{directory}/"], folder, exclude=plan.exclude)
    return await _build(context, name=name, dockerfile=dockerfile, folder=folder, bases=plan.bases)


async def _build(
    context: CommandContext, *, name: str, dockerfile: str, folder: RemotePath, bases: Sequence[str]
) -> ExitCode:
    context.output.info(f"building {name} on the EM; this may take minutes")
    try:
        await context.em.images.build(name, dockerfile=folder / dockerfile, context=folder or ".")
    except BuildFailedError as error:
        if context.output.as_json:
            context.output.result("build_log", "", lines=list(error.log_tail))
        raise
    context.output.result("built", f"built {name}", image=name, context=folder, bases=list(bases))
    context.output.info(f"next: emasync pod run {name} --wait")
    return ExitCode.DONE


def _plan_build(context: Path, dockerfile: str) -> _BuildPlan:
    """Check the build context. Reads the disk: run it in a thread."""
    from emasync.cli.dockerfile import build_problems, dockerignore_patterns, read_dockerfile
    from emasync.transfer.planning.filters import Filters
    from emasync.transfer.planning.scan import scan

    if not context.is_dir():
        return _BuildPlan(
            bases=(), problems=[f"{context} is no folder of this machine; give --context DIR"], exclude=()
        )
    names = [file.relative for file in scan([f"{context}/"]).found]
    if dockerfile not in names:
        why = f"no {dockerfile} in {context} (--dockerfile is a path inside the context)"
        return _BuildPlan(bases=(), problems=[why], exclude=())
    parsed = read_dockerfile((context / dockerfile).read_text(encoding="utf-8", errors="replace"))
    ignore = _ignore_lines(context, dockerfile)
    exclude = dockerignore_patterns(names, ignore, keep={dockerfile, ".dockerignore", f"{dockerfile}.dockerignore"})
    filters = Filters(exclude=tuple(exclude))
    return _BuildPlan(
        bases=parsed.bases,
        problems=build_problems(parsed, [name for name in names if filters.takes(name)]),
        exclude=exclude,
    )


def _ignore_lines(context: Path, dockerfile: str) -> list[str]:
    """The Dockerfile's own ignore file goes before the context's, as in BuildKit."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        if (context / name).is_file():
            return (context / name).read_text(encoding="utf-8", errors="replace").splitlines()
    return []


@click.command("load")
@click.argument("tar")
@with_global_options
@option("--image", required=True, metavar="NAME", help="what the image in the tar is called")
def image_load(options: GlobalOptions, tar: str, image: str) -> None:
    """Load an image from TAR, a file that is in the volume already.

    The image must be tagged with your user name in front (client1-echo-test): any other loads, and can never be run.
    `emasync image push` checks that before it sends a tar.

    \b
    emasync image load echo-test.tar --image client1-echo-test
    emasync image load images/echo-test.tar --image echo-test --json
    """
    run_on_em(options, partial(_load, tar=tar, image=image))


async def _load(context: CommandContext, *, tar: str, image: str) -> ExitCode:
    await load_and_verify(context, tar, image=image)
    context.output.result("loaded", f"loaded {image} from {tar}", image=image, tar=tar)
    context.output.info(f"next: emasync pod run {image} --wait")
    return ExitCode.DONE


async def load_and_verify(context: CommandContext, tar: str, *, image: str) -> None:
    """Load `tar` of the volume as `image`; ImageLoadError also where the EM took it and does not list it."""
    from emasync.cli.docker_archive import full_name

    context.output.info(f"loading {image} from {tar} on the EM; this may take minutes")
    await context.em.images.load(image, tarfile=tar)
    username = context.em.username
    wanted = full_name(image, username=username)
    # The EM may list the name with its registry in front.
    listed = {
        full_name(listed_image.name.rpartition("/")[2], username=username)
        for listed_image in await context.em.images.list()
    }
    if wanted.rpartition("/")[2] not in listed and wanted not in listed:
        raise ImageLoadError(
            f"the EM took {tar}, but {wanted} is not among your images: its tag in the tar is another one; "
            f"next: docker tag {image} {wanted} && docker save {wanted} -o {wanted}.tar && "
            f"emasync image push {wanted}.tar --image {wanted}"
        )


@click.command("ls")
@with_global_options
def image_ls(options: GlobalOptions) -> None:
    """List the images you may run, one a line.

    \b
    emasync image ls
    emasync image ls --json | jq -r 'select(.type == "image").name'
    """
    run_on_em(options, _ls)


async def _ls(context: CommandContext) -> ExitCode:
    images = await context.em.images.list()
    for image in sorted(images, key=lambda image: image.name):
        context.output.result("image", escape_name(image.name), name=image.name)
    if not images:
        context.output.info(f"no images of {context.em.username}; next: emasync image build NAME --context DIR")
    return ExitCode.DONE


@click.command("push")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_global_options
@option("--image", required=True, metavar="NAME", help="what the image is called, with or without your prefix")
@option("--to", "folder", default="", metavar="FOLDER", help="where in the volume to put the tar [its root]")
@option("--rm-tar", is_flag=True, help="delete the tar from the volume once it is loaded")
@option("--force", is_flag=True, help="send it in spite of what the checks say")
def image_push(  # noqa: PLR0913 - click: one parameter for each flag
    options: GlobalOptions,
    file: Path,
    image: str,
    folder: str,
    rm_tar: bool,  # noqa: FBT001 - click passes flags by name
    force: bool,  # noqa: FBT001
) -> None:
    """Check FILE (made by docker save), send it to the volume, and load it as an image.

    Before anything is sent: it is tagged with your user name in front, it is for linux/arm64, and one uplink call can
    carry it.

    \b
    emasync image push echo-test.tar --image echo-test
    emasync image push echo-test.tar --image client1-echo-test --to images --rm-tar
    """
    settings = _settings(options, at_least=file.stat().st_size if force else 0)
    work = partial(_push, file=file, image=image, folder=RemotePath(folder), rm_tar=rm_tar, force=force)
    run_on_em(options, work, settings=settings)


def _settings(options: GlobalOptions, *, at_least: int) -> Settings:
    settings = client_settings(options)
    limits = replace(settings.limits, uplink_call=max(settings.limits.uplink_call, at_least))
    return replace(settings, limits=limits)


async def _push(  # noqa: PLR0913 - what the flags decided, each used once
    context: CommandContext,
    *,
    file: Path,
    image: str,
    folder: RemotePath,
    rm_tar: bool,
    force: bool,
) -> ExitCode:
    name, refused = await _checked(context, file, image=image, force=force)
    if refused is not ExitCode.DONE:
        return refused
    from emasync.cli.transfer_runner import uplink_all  # what is refused needs no engine

    await uplink_all(context, [str(file)], folder)
    tar = folder / file.name
    try:
        await load_and_verify(context, tar, image=name)
    except ImageLoadError:
        context.output.info(
            f"the tar stays in the volume; to load it again: emasync image load {shlex.quote(tar)} --image {name}"
        )
        raise
    removed = rm_tar and await _remove(context, tar)
    context.output.result("pushed", f"pushed {name}", image=name, tar=tar, removed=removed)
    context.output.info(f"next: emasync pod run {name} --wait")
    return ExitCode.DONE


async def _checked(context: CommandContext, file: Path, *, image: str, force: bool) -> tuple[str, ExitCode]:
    """Check the archive: the name to load it as, and the exit code (DONE where it can be sent)."""
    from emasync.cli.docker_archive import check_image, full_name, read_archive  # the other commands do without tarfile

    name, code = full_name(image, username=context.em.username), ExitCode.USAGE
    problems: list[str] = []
    try:
        images = await to_thread.run_sync(read_archive, file)
        problems += check_image(images, wanted=image, username=context.em.username, file=file).problems
    except ValueError as broken:
        problems.append(str(broken))
    limit, size = context.em.settings.limits.uplink_call, file.stat().st_size  # noqa: ASYNC240 - one stat
    if size > limit:
        code = ExitCode.TOO_LARGE
        problems.append(
            f"{file} has {size} bytes, one uplink call takes {limit}: make the image smaller; "
            f"where the EM takes more, add --force"
        )
    for problem in problems:
        if force:
            context.output.info(f"warning: {problem}")
        else:
            context.output.error(problem)
    return name, code if problems and not force else ExitCode.DONE


async def _remove(context: CommandContext, tar: RemotePath) -> bool:
    """Delete the tar; a failure is only printed, since the image is loaded."""
    try:
        await context.em.files.delete(tar)
    except EMError as error:
        context.output.info(f"could not delete {tar}: {safe(error)}; next: {removal_command(tar)}")
        return False
    return True
