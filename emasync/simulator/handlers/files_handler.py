"""em/files/list, em/files/delete and em/pvc/list.

Owns: what they check, do and answer. May import exchange, answers, volume.
Knows nothing of tokens, locks or connections.
"""

from __future__ import annotations

from typing import Any

import anyio.to_thread
from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.responses import error, reply
from emasync.simulator.volume import IllegalPathError


async def list_files(ex: Exchange) -> web.StreamResponse:
    """GET em/files/list."""
    volume = ex.volume(await ex.read_fields())
    now = ex.clock.now()
    entries = await anyio.to_thread.run_sync(lambda: volume.listing(now=now))
    if ex.has("wrong_hash", "wrong_size"):
        _falsify(entries, ex)
    if ex.has("unlisted_folders"):
        for entry in entries:
            entry.pop("contents", None)
    await ex.busy_for(0)
    return reply({"message": "Files listed successfully.", "data": entries})


def _falsify(entries: list[dict[str, Any]], ex: Exchange) -> None:
    for entry in entries:
        if entry["type"] == "directory":
            _falsify(entry["contents"], ex)
        elif ex.has("wrong_hash"):
            entry["hash"] ^= 1
        else:
            entry["size"] = str(int(entry["size"]) + 1)


async def delete(ex: Exchange) -> web.StreamResponse:
    """POST em/files/delete."""
    fields = await ex.read_fields()
    volume, path = ex.volume(fields), str(fields.get("filepath") or "")
    await ex.busy_for(0)
    try:
        await anyio.to_thread.run_sync(volume.delete, path)
    except (FileNotFoundError, NotADirectoryError):
        return error("FILE_NOT_FOUND", f"{path} does not exist.")
    except (IllegalPathError, OSError) as wrong:
        return error("DELETE_FAILED", f"{path!r} cannot be deleted: {wrong}")
    return reply({"message": f"{path} deleted successfully."})


async def list_volumes(ex: Exchange) -> web.StreamResponse:
    """em/pvc/list: the user's named volumes."""
    await ex.read_fields()
    await ex.busy_for(0)
    data = [{"name": name} for name in ex.account.volume_names]
    return reply({"message": "PVCs listed successfully.", "data": data})
