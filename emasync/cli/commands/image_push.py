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

from emasync.cli.commands.image import load_and_look
from emasync.cli.docker_archive import check_image, full_name, read_image_tar
from emasync.cli.exit_codes import ExitCode
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.remote_selection import removal_command
from emasync.cli.runner import CommandContext, run_on_em
from emasync.cli.settings import settings_of
from emasync.config import Settings
from emasync.errors import EMError, ImageLoadError
from emasync.model import RemotePath, safe


@click.command("push")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_em
@option("--image", required=True, metavar="NAME", help="what the image is called, with or without your prefix")
@option("--to", "folder", default="", metavar="FOLDER", help="where in the volume to put the tar [its root]")
@option("--rm-tar", is_flag=True, help="delete the tar from the volume once it is loaded")
@option("--force", is_flag=True, help="send it in spite of what the checks say")
def image_push(
    asked: GlobalOptions,
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
    settings = _settings(asked, at_least=file.stat().st_size if force else 0)
    work = partial(_push, file=file, image=image, folder=RemotePath(folder), rm_tar=rm_tar, force=force)
    run_on_em(asked, work, settings=settings)


def _settings(asked: GlobalOptions, *, at_least: int) -> Settings:
    settings = settings_of(asked)
    limits = replace(settings.limits, uplink_call=max(settings.limits.uplink_call, at_least))
    return replace(settings, limits=limits)


async def _push(
    at: CommandContext,
    *,
    file: Path,
    image: str,
    folder: RemotePath,
    rm_tar: bool,
    force: bool,
) -> ExitCode:
    name, refused = await _checked(at, file, image=image, force=force)
    if refused is not ExitCode.DONE:
        return refused
    from emasync.cli.transfer_runner import uplink_all  # what is refused needs no engine

    await uplink_all(at, [str(file)], folder)
    tar = folder / file.name
    try:
        await load_and_look(at, tar, image=name)
    except ImageLoadError:
        at.out.say(
            f"the tar stays in the volume; to load it again: emasync image load {shlex.quote(tar)} --image {name}"
        )
        raise
    removed = rm_tar and await _remove(at, tar)
    at.out.result("pushed", f"pushed {name}", image=name, tar=tar, removed=removed)
    at.out.say(f"next: emasync pod run {name} --wait")
    return ExitCode.DONE


async def _checked(at: CommandContext, file: Path, *, image: str, force: bool) -> tuple[str, ExitCode]:
    """What to load the image as, and the code to end with before anything is sent."""
    name, code = full_name(image, username=at.em.username), ExitCode.USAGE
    faults: list[str] = []
    try:
        images = await to_thread.run_sync(read_image_tar, file)
        faults += check_image(images, wanted=image, username=at.em.username, file=file).faults
    except ValueError as broken:
        faults.append(str(broken))
    limit, size = at.em.settings.limits.uplink_call, file.stat().st_size  # noqa: ASYNC240 - one stat
    if size > limit:
        code = ExitCode.TOO_LARGE
        faults.append(
            f"{file} has {size} bytes, one uplink call takes {limit}: make the image smaller; "
            f"where the EM takes more, add --force"
        )
    for fault in faults:
        if force:
            at.out.say(f"warning: {fault}")
        else:
            at.out.error(fault)
    return name, code if faults and not force else ExitCode.DONE


async def _remove(at: CommandContext, tar: RemotePath) -> bool:
    """The image is there, so that a tar which will not go is no failure."""
    try:
        await at.em.files.delete(tar)
    except EMError as error:
        at.out.say(f"could not delete {tar}: {safe(error)}; next: {removal_command(tar)}")
        return False
    return True
