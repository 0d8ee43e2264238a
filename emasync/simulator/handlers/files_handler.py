"""em/files/list, em/files/delete and em/pvc/list."""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.request_fields import read_fields, requested_volume
from emasync.simulator.responses import error_response, json_response
from emasync.simulator.volume import IllegalPathError


async def handle_list_files(ex: Exchange) -> web.StreamResponse:
    """GET em/files/list, with the faults `wrong_hash`, `wrong_size` and `unlisted_folders`."""
    volume = requested_volume(ex, await read_fields(ex))
    now = ex.clock.now()
    entries = await anyio.to_thread.run_sync(lambda: volume.listing(now=now))
    if ex.fault_if("wrong_hash", "wrong_size"):
        _falsify(entries, ex)
    if ex.fault_if("unlisted_folders"):
        for entry in entries:
            entry.pop("contents", None)
    await ex.hold()
    return json_response({"message": "Files listed successfully.", "data": entries})


def _falsify(entries: list[dict[str, Any]], ex: Exchange) -> None:
    for entry in entries:
        if entry["type"] == "directory":
            _falsify(entry["contents"], ex)
        elif ex.fault_if("wrong_hash"):
            entry["hash"] ^= 1
        else:
            entry["size"] = str(int(entry["size"]) + 1)


async def handle_delete(ex: Exchange) -> web.StreamResponse:
    """POST em/files/delete."""
    fields = await read_fields(ex)
    volume, path = requested_volume(ex, fields), str(fields.get("filepath") or "")
    await ex.hold()
    try:
        await anyio.to_thread.run_sync(volume.delete, path)
    except (FileNotFoundError, NotADirectoryError):
        return error_response("FILE_NOT_FOUND", f"{path} does not exist.")
    except (IllegalPathError, OSError) as error:
        return error_response("DELETE_FAILED", f"{path!r} cannot be deleted: {error}")
    return json_response({"message": f"{path} deleted successfully."})


async def handle_list_volumes(ex: Exchange) -> web.StreamResponse:
    """em/pvc/list: the user's named volumes."""
    await read_fields(ex)
    await ex.hold()
    data = [{"name": name} for name in ex.user.volume_names]
    return json_response({"message": "PVCs listed successfully.", "data": data})
