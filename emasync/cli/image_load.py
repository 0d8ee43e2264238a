"""``emasync image load``: load an image from a tar in the volume, and see whether it is there.

Owns: the check after the load, which `image push` shares. May import this room.
"""

from __future__ import annotations

from functools import partial

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.image_tar import full_name
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.errors import ImageLoadError


@click.command("load")
@click.argument("tar")
@with_em
@option("--image", required=True, metavar="NAME", help="what the image in the tar is called")
def image_load(asked: GlobalOptions, tar: str, image: str) -> None:
    """Load an image from TAR, a file that is in the volume already.

    The image must be tagged with your user name in front (client1-echo-test): any other loads, and can never be run.
    `emasync image push` checks that before it sends a tar.

    \b
    emasync image load echo-test.tar --image client1-echo-test
    emasync image load images/echo-test.tar --image echo-test --json
    """
    run_on_em(asked, partial(_load, tar=tar, image=image))


async def _load(at: CommandContext, *, tar: str, image: str) -> ExitCode:
    await load_and_look(at, tar, image=image)
    at.out.result("loaded", f"loaded {image} from {tar}", image=image, tar=tar)
    at.out.say(f"next: emasync pod run {image} --wait")
    return ExitCode.DONE


async def load_and_look(at: CommandContext, tar: str, *, image: str) -> None:
    """Load `tar` of the volume as `image`; ImageLoadError also where the EM took it and does not list it."""
    at.out.say(f"loading {image} from {tar} on the EM; this may take minutes")
    await at.em.images.load(image, tarfile=tar)
    username = at.em.username
    wanted = full_name(image, username=username)
    # A registry in front of a listed name says nothing against it.
    listed = {full_name(one.name.rpartition("/")[2], username=username) for one in await at.em.images.list()}
    if wanted.rpartition("/")[2] not in listed and wanted not in listed:
        raise ImageLoadError(
            f"the EM took {tar}, but {wanted} is not among your images: its tag in the tar is another one; "
            f"next: docker tag {image} {wanted} && docker save {wanted} -o {wanted}.tar && "
            f"emasync image push {wanted}.tar --image {wanted}"
        )
