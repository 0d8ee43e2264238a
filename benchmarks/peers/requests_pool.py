"""requests as a careful user would: one Session, kept-alive connections, a pool of threads."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter

from benchmarks.job import Job, Watch, flush


def down(job: Job, watch: Watch) -> None:
    def one(path: str) -> None:
        reply = session.get(f"{job.url}em/files/downlink", params={"filepath": path})
        reply.raise_for_status()
        local = Path(job.into, Path(path).name)
        local.write_bytes(base64.b64decode(reply.json()["content"]))
        if job.fsync:
            flush(str(local))

    with _session(job) as session:
        _each(one, job.paths, job.workers)
    if job.fsync:
        flush(job.into)


def up(job: Job, watch: Watch) -> None:
    def one(path: str) -> None:
        with Path(path).open("rb") as file:
            files = [("files", (Path(path).name, file))]
            reply = session.post(f"{job.url}em/files/uplink", files=files, data={"dest_path": job.dest})
        reply.raise_for_status()

    with _session(job) as session:
        _each(one, job.sources, job.workers)


def _each(work: Callable[[str], None], paths: tuple[str, ...], workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, paths):
            pass


def _session(job: Job) -> requests.Session:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=job.workers))
    reply = session.post(f"{job.url}auth/", data={"username": "client1", "password": "secret"})
    session.headers["Authorization"] = f"Bearer {reply.json()['access']}"
    return session
