"""`Simulator`: an EM in a box, on a real socket of this machine.

Owns: putting the parts together, the folder on disk, and their end. May import every part of the simulator.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import anyio
import anyio.to_thread
from aiohttp import web

from emasync.simulator.breakpoints import Breakpoint, Breakpoints, Stage
from emasync.simulator.clock import Clock, RealClock
from emasync.simulator.config import LoggedRequest, SimulatorConfig, SimulatorKeywords
from emasync.simulator.exchange import Exchange
from emasync.simulator.faults import Fault, FaultList
from emasync.simulator.handlers import auth_handler, files_handler, images_handler, pods_handler
from emasync.simulator.handlers.downlink_handler import downlink
from emasync.simulator.handlers.uplink_handler import uplink
from emasync.simulator.pod_runner import PodRunner, write_downlink
from emasync.simulator.pods import Behaviour, Pod, PodContext
from emasync.simulator.server import Route, Server
from emasync.simulator.state import SimulatorState
from emasync.simulator.tokens import TokenRegistry
from emasync.simulator.volume import Volume


class Simulator:
    """``async with Simulator(users={"client1": "secret"}) as sim:`` serves an EM at `sim.url` until the block ends.

    `generation`: which API it speaks. `exclusive`: any ``em/`` call is answered 423 at once while another runs; log-ins
    never are. `hold`: seconds, or a function of the bytes a call moves, for which each ``em/`` call keeps the EM before
    its answer. `latency`: seconds before anything happens to a request. `bandwidth`: bytes a second of each connection,
    both ways; None is no limit. `token_lifetime`, `refresh_lifetime` in seconds; `refresh_tokens` False gives none out.
    `uplink_limit`: bytes of files a call may carry (None: 500 MB in the seed generation, 2 GB later); `uplink_files`:
    how many. `pod_start`: seconds from waiting to running; `pod_run`: how long a pod without a behaviour of its own
    runs; `pod_times` False leaves the times out of a pod's status. `list_lag`: seconds until an uplinked file shows in
    listings. `downlink_form`: None is the generation's own; `envelope`: the keys of the JSON form in their order (only
    ``content`` must be there). `buffering`: token and lock are looked at after the whole body came, as behind a
    buffering proxy. `prefix`: a path in front of all addresses. `keep_alive`: seconds an idle connection stays open.

    `faults` as in `Fault`, `seed` their randomness. `root`: a folder that stays; None is a temporary one, removed at
    the end. `port`: 0 takes a free one. `clock`: a `VirtualClock` makes hours pass at once. `downlink_filename` may
    be set at any time, to have downlinks tell another file name.

    It listens on 127.0.0.1 only and touches nothing outside its folder. Leaving cancels all requests and pods.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        root: Path | None = None,
        port: int = 0,
        clock: Clock | None = None,
        **knobs: Unpack[SimulatorKeywords],
    ) -> None:
        self.config = SimulatorConfig(**knobs)
        self.clock: Clock = clock or RealClock()
        rng = random.Random(seed)  # noqa: S311 - for faults and a signing key that guards nothing
        self.faults = FaultList(faults, rng=rng)
        self.requests: list[LoggedRequest] = []
        self.downlink_filename: str | None = None
        self._users = dict(users)
        self._tokens = TokenRegistry(
            rng.randbytes(32), lifetime_s=self.config.token_lifetime, refresh_s=self.config.refresh_lifetime
        )
        self._root = root
        self._port = port
        self._gates = Breakpoints()
        self._behaviours: dict[str, Behaviour] = {}
        self._stack = AsyncExitStack()
        self._world: SimulatorState | None = None
        self._url: str | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            root = await self._folder(stack)
            world = SimulatorState(self._users, root=root, tokens=self._tokens, exclusive=self.config.exclusive)
            stack.callback(shutil.rmtree, world.staging, ignore_errors=True)
            crew = PodRunner(self.clock)
            await crew.start()
            stack.push_async_callback(crew.stop)
            server = Server(
                _routes(self, world, crew),
                world=world,
                rules=self.config,
                clock=self.clock,
                faults=self.faults,
                gates=self._gates,
                crew=crew,
                requests=self.requests,
            )
            stack.push_async_callback(server.stop)
            port = await server.start(self._port, keep_alive_s=self.config.keep_alive)
            self._world, self._url = world, f"http://127.0.0.1:{port}{self.config.base}/"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    async def _folder(self, stack: AsyncExitStack) -> Path:
        if self._root is not None:
            await anyio.to_thread.run_sync(lambda root: root.mkdir(parents=True, exist_ok=True), self._root)
            return self._root
        root = Path(await anyio.to_thread.run_sync(partial(tempfile.mkdtemp, prefix="emasync-simulator-")))
        stack.push_async_callback(anyio.to_thread.run_sync, partial(shutil.rmtree, root))
        return root

    @property
    def url(self) -> str:
        """Where it serves: ``http://127.0.0.1:PORT/``; the port stays known after the end."""
        if self._url is None:
            raise RuntimeError("the simulator is not running: use `async with Simulator(...) as sim`")
        return self._url

    @property
    def state(self) -> SimulatorState:
        """Users, volumes, images, pods and the lock, as they are now."""
        if self._world is None:
            raise RuntimeError("the simulator is not running: use `async with Simulator(...) as sim`")
        return self._world

    def volume(self, user: str, name: str | None = None) -> Path:
        """The folder that is the user's volume (of that name), to look into and to change; made when missing."""
        return self.state.accounts[user].volume(name).root

    def add_image(self, user: str, image: str) -> str:
        """Let the user have an image that was never built; returns its full name."""
        return self.state.accounts[user].images.add(image)

    def behaviour(self, image: str, work: Behaviour) -> None:
        """What pods of `image` (with or without a user's prefix) do from now on, whoever runs them."""
        self._behaviours[image] = work

    def breakpoint(self, endpoint: str, *, at: Stage = "start") -> Breakpoint:
        """Hold requests to `endpoint` at a stage until the gate is opened."""
        return self._gates.add(endpoint, at)

    def revoke_tokens(self, *, refresh: bool = False) -> None:
        """Refuse every access token given out so far; with `refresh`, every refresh token too."""
        self._tokens.revoke(refresh=refresh)

    def launch(self, crew: PodRunner, user: str, pod: Pod, volume: Volume) -> None:
        """Start a pod's life; one whose image is unknown has none."""
        if not pod.spec.known:
            return
        spec, image = pod.spec, pod.spec.image
        behaviour = self._behaviours.get(image) or self._behaviours.get(image.removeprefix(f"{user}-"))
        context = PodContext(
            volume=volume.root,
            image=image,
            node=spec.node,
            command=spec.command,
            args=spec.args,
            envs=spec.envs,
            max_duration=spec.max_duration,
            clock=self.clock,
        )
        work = behaviour or partial(write_downlink, run_s=self.config.pod_run)
        crew.carry(pod, context, work, start_s=self.config.pod_start)


def _routes(sim: Simulator, world: SimulatorState, crew: PodRunner) -> dict[str, Route]:
    async def send_file(ex: Exchange) -> web.StreamResponse:
        return await downlink(ex, shown_name=sim.downlink_filename)

    async def run(ex: Exchange) -> web.StreamResponse:
        return await pods_handler.run(ex, partial(sim.launch, crew, ex.account.name), crew.stop_pod)

    get, post = ("GET",), ("POST",)
    read = ("GET", "POST") if sim.config.generation == "pvc" else get
    routes = {
        "auth/": Route(
            methods=post, handler=partial(auth_handler.log_in, world=world, with_refresh=sim.config.refresh_tokens)
        ),
        "auth/refresh": Route(methods=post, handler=partial(auth_handler.refresh, world=world)),
        "em/files/uplink": Route(methods=post, handler=partial(uplink, staging=world.staging)),
        "em/files/list": Route(methods=read, handler=files_handler.list_files),
        "em/files/downlink": Route(methods=get, handler=send_file),
        "em/files/delete": Route(methods=post, handler=files_handler.delete),
        "em/pod/image/build": Route(methods=post, handler=images_handler.build),
        "em/pod/image/load": Route(methods=post, handler=images_handler.load),
        "em/pod/image/list": Route(methods=get, handler=images_handler.list_images),
        "em/pod/run": Route(methods=post, handler=run),
        "em/pod/status": Route(methods=read, handler=pods_handler.status),
    }
    if sim.config.later:
        routes["em/nodes/status"] = Route(methods=get, handler=pods_handler.nodes)
    if sim.config.generation == "pvc":
        routes["em/pvc/list"] = Route(methods=read, handler=files_handler.list_volumes)
    return routes
