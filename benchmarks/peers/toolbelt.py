"""requests with requests-toolbelt's streaming multipart body, as in the vendor's later client: one file a call."""

from __future__ import annotations

from pathlib import Path

import requests
from requests_toolbelt import MultipartEncoder

from benchmarks.job import Job, Watch


def up(job: Job, watch: Watch) -> None:
    with requests.Session() as session:
        reply = session.post(f"{job.url}auth/", data={"username": "client1", "password": "secret"})
        session.headers["Authorization"] = f"Bearer {reply.json()['access']}"
        for path in job.sources:
            with Path(path).open("rb") as file:
                body = MultipartEncoder(
                    [
                        ("dest_path", job.dest),
                        ("files", (Path(path).name, file, "application/octet-stream")),
                    ]
                )
                answer = session.post(
                    f"{job.url}em/files/uplink", data=body, headers={"Content-Type": body.content_type}
                )
            answer.raise_for_status()
