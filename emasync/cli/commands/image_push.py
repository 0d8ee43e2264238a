"""``emasync image push``: check a tar of ``docker save``, send it to the volume, and load it as an image.

The checks are in `docker_archive`; an image that fails them is not sent.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
from anyio import to_thread

from emasync.cli.commands.image import load_and_verify
from emasync.cli.docker_archive import check_image, full_name, read_archive
from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, option, with_global_options
from emasync.cli.remote_selection import removal_command
from emasync.cli.runner import CommandContext, run_on_em
from emasync.cli.settings import client_settings
from emasync.config import Settings
from emasync.errors import EMError, ImageLoadError
from emasync.model import RemotePath, safe


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
