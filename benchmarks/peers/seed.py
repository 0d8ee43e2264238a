"""The vendor's example client: whole bodies in memory, one file at a time, a new connection for every call."""

from __future__ import annotations

import base64
from pathlib import Path

import requests

from benchmarks.job import Job, Watch, flush

_FILES_A_CALL = 100  # Django's default limit; the example leaves it to the user to know that


def down(job: Job, watch: Watch) -> None:
    headers = _log_in(job.url)
    for path in job.paths:
        reply = requests.get(f"{job.url}em/files/downlink", params={"filepath": path}, headers=headers)
        data = reply.json()
        content = base64.b64decode(data["content"])
        local = Path(job.into, Path(path).name)
        with local.open("wb") as file:
            file.write(content)
        if job.fsync:
            flush(str(local))
    if job.fsync:
        flush(job.into)


def up(job: Job, watch: Watch) -> None:
    headers = _log_in(job.url)
    for first in range(0, len(job.sources), _FILES_A_CALL):
        paths = [Path(source) for source in job.sources[first : first + _FILES_A_CALL]]
        files = [("files", (path.name, path.open("rb"))) for path in paths]
        reply = requests.post(f"{job.url}em/files/uplink", headers=headers, files=files, data={"dest_path": job.dest})
        for _, (_, opened) in files:
            opened.close()
        reply.raise_for_status()


def _log_in(url: str) -> dict[str, str]:
    reply = requests.post(f"{url}auth/", data={"username": "client1", "password": "secret"})
    return {"Authorization": f"Bearer {reply.json()['access']}"}
