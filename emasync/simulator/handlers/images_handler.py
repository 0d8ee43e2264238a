"""The em/pod/image/ endpoints: build, load, list.

Owns: reading their fields, and their answers. May import exchange, answers, images.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio.to_thread
from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.images import ImageError
from emasync.simulator.responses import error, invalid, reply


async def build(ex: Exchange) -> web.StreamResponse:
    """POST em/pod/image/build."""
    fields = await ex.read_fields()
    volume, images = ex.volume(fields), ex.account.images
    image, dockerfile, context = _required(fields, "image", "dockerfile", "context")

    def work() -> str:
        return images.build(volume, image, dockerfile=dockerfile, context=context)

    return await _attempt(ex, work, code="BUILD_FAILED", done="Image {} built successfully.")


async def load(ex: Exchange) -> web.StreamResponse:
    """POST em/pod/image/load."""
    fields = await ex.read_fields()
    volume, images = ex.volume(fields), ex.account.images
    image, tar = _required(fields, "image", "tarfile")

    def work() -> str:
        # A tar without the user's prefix loads like any other; that it can never be run shows only later.
        return images.load(volume, image, tar=tar) or image

    return await _attempt(ex, work, code="IMAGE_LOAD_FAILED", done="Image {} loaded successfully.")


async def list_images(ex: Exchange) -> web.StreamResponse:
    """GET em/pod/image/list: strings in the seed generation, objects later."""
    await ex.read_fields()
    await ex.busy_for(0)
    names = sorted(ex.account.images)
    data = [{"name": name, "size": size} for name, size in names] if ex.rules.later else [name for name, _ in names]
    return reply({"message": "Images listed successfully.", "data": data})


async def _attempt(ex: Exchange, work: Callable[[], str], *, code: str, done: str) -> web.Response:
    await ex.busy_for(0)
    try:
        name = await anyio.to_thread.run_sync(work)
    except ImageError as failed:
        return error(code, str(failed), log_tail=failed.log_tail)
    return reply({"message": done.format(name)})


def _required(fields: dict[str, object], *names: str) -> list[str]:
    for name in names:
        if not fields.get(name):
            raise invalid(name, "This field is required.")
    return [str(fields[name]) for name in names]
