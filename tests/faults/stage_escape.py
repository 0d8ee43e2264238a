"""An EM that lies about names, the ground around a destination, and trials that say what went wrong.

Owns: the lying server, the canaries, and one trial per way in which a name can reach emasync. Run as a program it makes
every trial again as a user who is not root. May import emasync; judges with the independent checker only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import anyio
from aiohttp import web

from emasync import Client, RetryPolicy, Settings, TransferReport
from tests.faults.checker import changed, sha256, snapshot, tree
from tests.faults.hostile_names import Hostile

Told = Literal["envelope", "filename", "filename*"]
SETTINGS: Final = Settings(retry=RetryPolicy(retries=0, base_s=0.001), durable=False, state_dir=None)
NOBODY: Final = 65534


def bytes_of(path: str) -> bytes:
    """What the file `path` of the lying EM holds."""
    return f"what {path} holds\n".encode("utf-8", "surrogatepass") * 3


@dataclass
class Liar:
    """`entries` are listed; a downlink of a path tells the name `told` has for it, in the form `form`. With `hold` an
    answer stops half way: `half` is set then, and it goes on after `go`."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    told: Mapping[str, str] = field(default_factory=dict)
    form: Told = "envelope"
    hold: bool = False
    times: int = 1  # how often a file holds its text
    half: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def list_files(self, names: Sequence[str], *, folder: str = "") -> None:
        """List files of these names, in `folder` if one is given; a name is listed as it is, whatever it holds."""
        inside = f"{folder}/" if folder else ""
        sizes = [len(bytes_of(normal(inside + name))) * self.times for name in names]
        files = [
            {"type": "file", "name": name, "size": str(size), "time": "2026-01-01-00-00"}
            for name, size in zip(names, sizes, strict=True)
        ]
        self.entries = [{"type": "directory", "name": folder, "contents": files}] if folder else files

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Whatever is asked."""
        await request.read()
        if request.path.endswith("auth/"):
            return web.json_response({"access": "a-token"})
        if request.path.endswith("em/files/list"):
            return web.json_response({"message": "", "data": self.entries})
        if request.path.endswith("em/files/uplink"):
            return web.json_response({"message": "", "data": {}})
        path = normal(request.query.get("filepath", ""))
        return await self._send(request, path, self.told.get(path, path.rpartition("/")[2]))

    async def _send(self, request: web.BaseRequest, path: str, name: str) -> web.StreamResponse:
        data = bytes_of(path) * self.times
        if self.form == "envelope":
            content = base64.b64encode(data).decode()
            body = json.dumps({"filename": name, "content": content, "size": len(data), "hash": sha256(data)}).encode()
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
        else:
            body = data
            response = web.StreamResponse(headers={"Content-Disposition": disposition(name, self.form)})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if self.hold:
            self.half.set()
            await self.go.wait()
        await response.write(body[len(body) // 2 :])
        return response


def disposition(name: str, form: Told) -> str:
    """A Content-Disposition that tells `name`; in a quoted string what no header can hold is left out."""
    if form == "filename*":
        return f"attachment; filename*=utf-8''{quote(name.encode('utf-8', 'surrogatepass'), safe='')}"
    plain = name.encode("utf-8", "surrogatepass").decode("utf-8", "ignore")
    plain = "".join(char for char in plain if char >= " " and char != "\x7f")
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'attachment; filename="{escaped}"'


@asynccontextmanager
async def lying(liar: Liar) -> AsyncIterator[Client]:
    """A Client of `liar`, which is served on 127.0.0.1 until the block ends."""
    runner = web.ServerRunner(web.Server(liar.answer, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        liar.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with Client(liar.url, username="client1", password="secret", settings=SETTINGS) as em:
            yield em
    finally:
        liar.go.set()
        await runner.cleanup()


class Ground:
    """``dest`` with canaries all around it. `outside` says what of them was touched since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dest = folder / "dest"
        for name in ("canary", "outside/canary", "outside/run/canary", "etc/passwd", "x", ".ssh/authorized_keys"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"the canary {name}\n")
        self.out = folder / "outside"
        self.dest.mkdir()
        for place in (self.out, self.out / "run", self.dest):
            place.chmod(0o777)  # nothing but emasync's own care keeps it from writing there
        self._before = self._surroundings()

    def _surroundings(self) -> dict[str, tuple[object, ...]]:
        return {path: fact for path, fact in snapshot(self.folder).items() if path.split("/")[0] != "dest"}

    def settle(self) -> None:
        """What is there now is what must stay."""
        self._before = self._surroundings()

    def outside(self) -> list[str]:
        """What was made, removed or changed outside the destination."""
        return changed(self._before, self._surroundings())


def normal(name: str) -> str:
    """A path on the EM in its shortest spelling."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


# -- names -----------------------------------------------------------------------------------------------------------


async def told_trial(names: Sequence[Hostile], ground: Ground, form: Told) -> list[str]:
    """Files of good names are fetched, and each answer tells a hostile one, which must change nothing."""
    paths = {f"good/{number:05}.bin": hostile.name for number, hostile in enumerate(names)}
    liar = Liar(told=paths, form=form)
    liar.list_files(list(paths))
    async with lying(liar) as em:
        report = await em.downlink([""], into=ground.dest)
    broken = {path for path, name in paths.items() if form == "envelope" and not _is_text(name)}
    found = [
        f"told {paths[outcome.path]!r}: {outcome.error}" for outcome in report.failed if outcome.path not in broken
    ]
    found += [
        f"accepted {paths[outcome.path]!r}, which is no JSON" for outcome in report.done if outcome.path in broken
    ]
    right = {path: sha256(bytes_of(path)) for path in paths if path not in broken}
    if tree(ground.dest) != right:
        found.append(f"I1 the destination differs: {sorted(tree(ground.dest).items() ^ right.items())[:5]!r}")
    return found + ground.outside()


def _is_text(name: str) -> bool:
    """Whether it is Unicode: a lone surrogate in an envelope makes it no JSON text (RFC 8259)."""
    return not any("\ud800" <= char <= "\udfff" for char in name)


async def listed_trial(names: Sequence[Hostile], ground: Ground, *, sync: bool) -> list[str]:
    """Hostile names are listed, and all that is listed is asked for, by a downlink or a sync with deletions."""
    liar, folder = Liar(), "box" if sync else ""
    liar.list_files([hostile.name for hostile in names], folder=folder)
    journal = ground.folder.parent / f"{ground.folder.name}.journal"
    async with lying(liar) as em:
        if sync:
            try:
                report = await em.sync_down("box", ground.dest, delete=True, allow_empty_source=True, journal=journal)
            except ValueError:  # a name that makes a file of the folder itself: misuse, and nothing is touched
                named = {normal(f"{folder}/{hostile.name}") for hostile in names}
                return ground.outside() if "box" in named else ["a sync is called misuse without a reason"]
        else:
            report = await em.downlink([""], into=ground.dest, journal=journal)
    wanted = {normal(f"{folder}/{hostile.name}"): hostile for hostile in names}
    return judge(report, wanted, ground) + ground.outside()


def judge(report: TransferReport, wanted: Mapping[str, Hostile], ground: Ground) -> list[str]:
    """What a report and a destination say that they must not."""
    found = []
    ended = {str(outcome.path) for outcome in report.outcomes}
    if missing := wanted.keys() - ended:
        found.append(f"I3 nothing is said of {sorted(missing)[:5]!r}")
    if len(report.outcomes) != len(ended):
        found.append("I3 a file ended twice")
    places: dict[str, str] = {}
    for outcome in report.done:
        hostile = wanted[str(outcome.path)]
        if hostile.verdict == "refuse":
            found.append(f"accepted: {hostile!r} as {outcome.local}")
        if not outcome.local.is_relative_to(ground.dest) or ".." in outcome.local.parts:
            found.append(f"I4 {hostile!r} went to {outcome.local}")
        else:
            places[outcome.local.relative_to(ground.dest).as_posix()] = sha256(bytes_of(str(outcome.path)))
    if (there := tree(ground.dest)) != places:
        found.append(f"I1 I2 the destination is not what was done: {sorted(there.items() ^ places.items())[:5]!r}")
    return found


async def uplink_trial(names: Sequence[Hostile], ground: Ground) -> list[str]:
    """An uplink is verified with a listing full of hostile names around the right entries."""
    source = ground.folder.parent / f"{ground.folder.name}.source"
    source.mkdir()
    for number in range(5):
        (source / f"{number}.bin").write_bytes(bytes_of(f"{number}.bin"))
    liar = Liar()
    liar.list_files([*(hostile.name for hostile in names), *(f"{number}.bin" for number in range(5))])
    before = snapshot(source)
    async with lying(liar) as em:
        report = await em.uplink([f"{source}/"])
    found = [] if report.ok and len(report.done) == 5 else [f"an uplink of 5 files ended as {report!r}"]
    return found + changed(before, snapshot(source)) + ground.outside()


Trial = Callable[[Sequence[Hostile], Ground], Awaitable[list[str]]]

TRIALS: Final[Mapping[str, Trial]] = {
    "envelope": lambda names, ground: told_trial(names, ground, "envelope"),
    "filename": lambda names, ground: told_trial(names, ground, "filename"),
    "filename*": lambda names, ground: told_trial(names, ground, "filename*"),
    "listed": lambda names, ground: listed_trial(names, ground, sync=False),
    "synced": lambda names, ground: listed_trial(names, ground, sync=True),
    "uplink": uplink_trial,
}


def with_real_paths(names: Sequence[Hostile], ground: Ground) -> list[Hostile]:
    """`names`, and the true absolute paths of the canaries and of what could lie beside them."""
    real = [ground.out / "canary", ground.out / "new", ground.folder / "canary", Path("/tmp/emasync-escaped")]
    return [*names, *(Hostile(name=str(path), family="absolute", verdict="inside") for path in real)]


async def _all(folder: Path) -> list[str]:
    from tests.faults.hostile_names import families
    from tests.faults.stage_links import CASES

    found = []
    for name, trial in TRIALS.items():
        ground = Ground(folder / f"names-{list(TRIALS).index(name)}")
        found += [f"{name}: {text}" for text in await trial(with_real_paths(families(), ground), ground)]
    for name, case in CASES.items():
        found += [f"{name}: {text}" for text in await case(Ground(folder / f"links-{list(CASES).index(name)}"))]
    return found


def main() -> None:
    """All trials as root, which loads every module, then again as nobody; prints what was found as JSON."""
    folder = Path(sys.argv[1])
    (folder / "root").mkdir()
    (folder / "nobody").mkdir()
    found = anyio.run(_all, folder / "root")
    os.chown(folder / "nobody", NOBODY, NOBODY)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    found += [f"as nobody: {text}" for text in anyio.run(_all, folder / "nobody")]
    print(json.dumps({"uid": os.geteuid(), "found": found}))  # noqa: T201 - what the parent reads


if __name__ == "__main__":
    main()
