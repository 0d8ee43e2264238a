"""``emasync image ls``: the images you may run.

Owns: how an image is shown. May import this room.
"""

from __future__ import annotations

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.out import escape_name


@click.command("ls")
@with_em
def image_ls(asked: GlobalOptions) -> None:
    """List the images you may run, one a line.

    \b
    emasync image ls
    emasync image ls --json | jq -r 'select(.type == "image").name'
    """
    run_on_em(asked, _ls)


async def _ls(at: CommandContext) -> ExitCode:
    images = await at.em.images.list()
    for image in sorted(images, key=lambda one: one.name):
        at.out.result("image", escape_name(image.name), name=image.name)
    if not images:
        at.out.say(f"no images of {at.em.username}; next: emasync image build NAME --context DIR")
    return ExitCode.DONE
