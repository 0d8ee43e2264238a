"""A bare EM for benchmarks, in a process of its own: pre-encoded bodies, a strict lock or none, a latency.

    python -m benchmarks.busy_server FILES SIZE HOLD_S EXCLUSIVE LATENCY_S

Prints its port, then serves until standard input closes; then prints one JSON line with the counts of its answers.
It keeps uplinked files as names, sizes and content tags only, so that it costs little beside the client.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
import time
from collections import Counter

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.typedefs import Handler

from emasync.wire.content_tag import content_tag, new_md5, tag_of_digest


class Server:
    def __init__(self, files: int, size: int, *, hold_s: float, exclusive: bool, latency_s: float) -> None:
        data = bytes(range(256)) * (size // 256 + 1)
        self.data = data[:size]
        self.answer = json.dumps(
            {
                "filename": "f",
                "content": base64.b64encode(self.data).decode(),
                "size": size,
                "hash": hashlib.sha256(self.data).hexdigest(),
            }
        ).encode()
        tag = content_tag(self.data)
        self.files = {f"data/f{index:05}.bin": (size, tag) for index in range(files)}
        self.hold_s, self.exclusive, self.latency_s = hold_s, exclusive, latency_s
        self.busy = False
        self.statuses: Counter[int] = Counter()
        self.order: list[int] = []

    @web.middleware
    async def locked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/em/"):
            return await handler(request)
        if self.exclusive and self.busy:
            return self.counted(web.json_response({"detail": "The EM is busy"}, status=423))
        self.busy = True
        try:
            await asyncio.sleep(self.hold_s + self.latency_s)
            return self.counted(await handler(request))
        finally:
            self.busy = False

    def counted(self, response: web.StreamResponse) -> web.StreamResponse:
        self.statuses[response.status] += 1
        self.order.append(response.status)
        return response

    async def log_in(self, request: web.Request) -> web.Response:
        return web.json_response({"access": "opaque"})

    async def list_files(self, request: web.Request) -> web.Response:
        folders: dict[str, list[dict[str, object]]] = {}
        for path, (size, tag) in self.files.items():
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, []).append({"type": "file", "name": name, "size": str(size), "hash": tag})
        data = [{"type": "directory", "name": name, "contents": inside} for name, inside in folders.items()]
        return web.json_response({"data": data})

    async def downlink(self, request: web.Request) -> web.Response:
        return web.Response(body=self.answer, content_type="application/json")

    async def uplink(self, request: web.Request) -> web.Response:
        dest, count = "", 0
        reader = MultipartReader(request.headers, request.content)
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "dest_path":
                dest = (await part.read()).decode()
                continue
            md5, size = new_md5(), 0
            while chunk := await part.read_chunk(1 << 18):
                md5.update(chunk)
                size += len(chunk)
            self.files[f"{dest}/{part.filename}"] = (size, tag_of_digest(md5.digest()))
            count += 1
        return web.json_response({"data": {"file_count": count}})

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response({"data": {"state": {}}})


async def main(files: str, size: str, hold_s: str, exclusive: str, latency_s: str) -> None:
    server = Server(int(files), int(size), hold_s=float(hold_s), exclusive=exclusive == "1", latency_s=float(latency_s))
    app = web.Application(middlewares=[server.locked], client_max_size=1 << 40)
    app.router.add_post("/auth/", server.log_in)
    app.router.add_get("/em/files/list", server.list_files)
    app.router.add_get("/em/files/downlink", server.downlink)
    app.router.add_post("/em/files/uplink", server.uplink)
    app.router.add_get("/em/pod/status", server.status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    began = time.monotonic()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    late = server.order[20:]
    counts = {
        "requests": len(server.order),
        "refused": server.statuses[423],
        "refused_late": sum(status == 423 for status in late),
        "late": len(late),
        "seconds": time.monotonic() - began,
    }
    sys.stdout.write(json.dumps(counts) + "\n")
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
