"""em/pod/image/build, em/pod/image/load and em/pod/image/list."""

from __future__ import annotations

from collections.abc import Callable

import anyio.to_thread
from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.images import ImageError
from emasync.simulator.request_fields import read_fields, requested_volume, required_fields
from emasync.simulator.responses import error_response, json_response


async def handle_build(ex: Exchange) -> web.StreamResponse:
    """POST em/pod/image/build."""
    fields = await read_fields(ex)
    volume, images = requested_volume(ex, fields), ex.user.images
    image, dockerfile, context = map(str, required_fields(fields, "image", "dockerfile", "context"))

    def build() -> str:
        return images.build(volume, image, dockerfile=dockerfile, context=context)

    return await _try(ex, build, error_code="BUILD_FAILED", done="Image {} built successfully.")


async def handle_load(ex: Exchange) -> web.StreamResponse:
    """POST em/pod/image/load."""
    fields = await read_fields(ex)
    volume, images = requested_volume(ex, fields), ex.user.images
    image, tar = map(str, required_fields(fields, "image", "tarfile"))

    def load() -> str:
        # A tar without the user's prefix loads like any other; that it can never be run shows only later.
        return images.load(volume, image, tar=tar) or image

    return await _try(ex, load, error_code="IMAGE_LOAD_FAILED", done="Image {} loaded successfully.")


async def handle_list_images(ex: Exchange) -> web.StreamResponse:
    """GET em/pod/image/list: strings in the seed generation, objects in the later ones."""
    await read_fields(ex)
    await ex.hold()
    images = sorted(ex.user.images)
    objects = [{"name": name, "size": size} for name, size in images]
    data = objects if ex.config.after_seed else [name for name, _ in images]
    return json_response({"message": "Images listed successfully.", "data": data})


async def _try(ex: Exchange, work: Callable[[], str], *, error_code: str, done: str) -> web.Response:
    await ex.hold()
    try:
        name = await anyio.to_thread.run_sync(work)
    except ImageError as error:
        return error_response(error_code, str(error), log_tail=error.log_tail)
    return json_response({"message": done.format(name)})
