"""Content tags of many local files, from the cache where it knows them, else by reading.

Owns: the use of the hash cache. May import disk, hash_cache and pool.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from emasync.disk import Digest, FileExecutor, digest_file
from emasync.errors import EMError
from emasync.model import RemotePath
from emasync.transfer.open_files import Places
from emasync.transfer.planning.plan import LocalFile
from emasync.transfer.state.hash_cache import Digests, HashCache, Hashed, open_hash_cache
from emasync.transfer.worker_pool import WorkerPool

_log = logging.getLogger("emasync")
_READERS = 4
_BATCH = 2000  # files between two writes to the cache: what a killed run may have to read again


async def content_tags(
    files: Sequence[LocalFile], *, threads: FileExecutor, cache: Path | None
) -> dict[RemotePath, int]:
    """The tag of each file by its relative path; files that cannot be read, or change meanwhile, are left out.

    `cache` is where the hash cache lies, None for none. Cancelled, it keeps what it has read.
    """
    async with AsyncExitStack() as stack:
        store = await _opened(cache, stack) if cache is not None else None
        known: dict[str, Digests] = {}
        places = [_absolute(one.place) for one in files]
        if store is not None:
            known = await store.get_many((place, one.fingerprint) for place, one in zip(places, files, strict=True))
        tags: dict[RemotePath, int] = {}
        unread: list[LocalFile] = []
        for place, one in zip(places, files, strict=True):
            if (digests := known.get(place)) is not None:
                tags[one.relative] = digests.tag
            else:
                unread.append(one)
        for start in range(0, len(unread), _BATCH):
            tags |= await _read(unread[start : start + _BATCH], threads=threads, store=store)
        return tags


async def _opened(cache: Path, stack: AsyncExitStack) -> HashCache | None:
    """The cache; None where it can be neither read nor made, which costs time and is no reason to fail."""
    try:
        return await stack.enter_async_context(open_hash_cache(cache))
    except (OSError, ValueError) as error:
        _log.info("no hash cache, files are read again: %s", error)
        return None


async def _read(files: Sequence[LocalFile], *, threads: FileExecutor, store: HashCache | None) -> dict[RemotePath, int]:
    tags: dict[RemotePath, int] = {}
    fresh: list[Hashed] = []

    places = Places(lambda _: None)  # only here: what is read is not yet moved

    async def one(file: LocalFile) -> None:
        async def read() -> Digest | Exception:
            try:
                return await threads.run(digest_file, file.place)
            except (OSError, EMError) as error:
                return error

        started_ns = time.time_ns()
        digest = await places.run(read, shortage=_failure)
        if isinstance(digest, Exception):
            return
        if digest.size != file.fingerprint.size:
            return
        tags[file.relative] = digest.tag
        digests = Digests(sha256=digest.sha256, tag=digest.tag)
        path = Path(_absolute(file.place))
        fresh.append(Hashed(path=path, facts=file.fingerprint, digests=digests, started_ns=started_ns))

    await WorkerPool().run(files, one, workers=_READERS)
    if store is not None:
        await store.put_many(fresh)
    return tags


def _failure(found: Digest | Exception) -> Exception | None:
    return found if isinstance(found, Exception) else None


def _absolute(place: str) -> str:
    return os.path.join(os.getcwd(), place)  # noqa: PTH109, PTH118 - as text: there may be very many
