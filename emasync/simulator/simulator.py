"""`Simulator`: the whole EM API on a real socket of this machine. Puts the parts together, starts and ends them.

Must not import anything of emasync but the simulator.
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

from emasync.simulator.breakpoints import Breakpoint, Breakpoints, Stage
from emasync.simulator.clock import Clock, RealClock
from emasync.simulator.config import LoggedRequest, SimulatorConfig, SimulatorKeywords
from emasync.simulator.exchange import ServerContext
from emasync.simulator.faults import Fault, FaultList
from emasync.simulator.handlers import routes
from emasync.simulator.pod_runner import PodRunner
from emasync.simulator.pods import Behaviour
from emasync.simulator.server import Server
from emasync.simulator.state import SimulatorState
from emasync.simulator.tokens import TokenRegistry


class Simulator:
    """Serves the EM API at `sim.url` from ``async with`` until the block ends.

    `generation`: which API it speaks. `exclusive`: any ``em/`` request is answered 423 at once while another runs;
    log-ins never are. `hold`: seconds, or a function of the bytes a request moves, for which each ``em/`` request keeps
    the EM busy before its response. `latency`: seconds before anything happens to a request. `bandwidth`: bytes a
    second of each connection, both ways; None is no limit. `token_lifetime`, `refresh_lifetime` in seconds;
    `refresh_tokens` False gives none out. `uplink_limit`: bytes of files an uplink may carry (None: 500 MB in the seed
    generation, 2 GB later); `uplink_files`: how many. `pod_start`: seconds from waiting to running; `pod_run`: how long
    a pod without a behaviour of its own runs; `pod_times` False leaves the times out of a pod's status. `list_lag`:
    seconds until an uplinked file shows in listings. `downlink_form`: None is the generation's own; `envelope`: the
    keys of the JSON form in their order (only ``content`` must be there). `buffering`: token and lock are checked after
    the whole body came, as behind a buffering proxy. `prefix`: a path in front of all endpoints. `keep_alive`: seconds
    an idle connection stays open.

    `faults`: see `Fault`; `seed` of their randomness. `root`: a folder that stays; None is a temporary one, removed at
    the end. `port`: 0 takes a free one. `clock`: a `VirtualClock` makes hours pass at once. Attributes: `requests`, the
    log, a list that only grows; `faults`, a `FaultList` that may be changed at any time; `downlink_filename`, the name
    that downlinks announce instead of the file's own (None: the file's own), which may be set at any time.

    It listens on 127.0.0.1 only and writes nothing outside its folder. ValueError for a senseless keyword; entering
    raises OSError when the port is taken. Leaving cancels all requests and pods.

    >>> async with Simulator(users={"client1": "secret"}, faults=[Fault("busy_before", times=1)]) as sim:
    ...     async with Client(sim.url, username="client1", password="secret") as em:
    ...         tree = await em.files.list()
    ...     [(request.path, request.status) for request in sim.requests]
    [('auth/', 200), ('em/files/list', 423), ('em/files/list', 200)]
    """

    def __init__(  # noqa: PLR0913 - the public signature
        self,
        users: Mapping[str, str],
        *,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        root: Path | None = None,
        port: int = 0,
        clock: Clock | None = None,
        **keywords: Unpack[SimulatorKeywords],
    ) -> None:
        self.config: SimulatorConfig = SimulatorConfig(**keywords)
        self.clock: Clock = clock or RealClock()
        rng = random.Random(seed)  # noqa: S311 - for faults and a signing key that guards nothing
        self.faults: FaultList = FaultList(faults, rng=rng)
        self.requests: list[LoggedRequest] = []
        self.downlink_filename: str | None = None
        self._users = dict(users)
        self._tokens = TokenRegistry(
            rng.randbytes(32), lifetime_s=self.config.token_lifetime, refresh_s=self.config.refresh_lifetime
        )
        self._root = root
        self._port = port
        self._breakpoints = Breakpoints()
        self._behaviours: dict[str, Behaviour] = {}
        self._stack = AsyncExitStack()
        self._state: SimulatorState | None = None
        self._url: str | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            root = await self._make_root(stack)
            state = SimulatorState(self._users, root=root, tokens=self._tokens, exclusive=self.config.exclusive)
            stack.callback(shutil.rmtree, state.staging, ignore_errors=True)
            pod_runner = PodRunner(self.clock, self.config, self._behaviours)
            await pod_runner.start()
            stack.push_async_callback(pod_runner.stop)
            context = ServerContext(
                config=self.config,
                clock=self.clock,
                state=state,
                faults=self.faults,
                breakpoints=self._breakpoints,
                pod_runner=pod_runner,
                log=self.requests,
                shown_filename=lambda: self.downlink_filename,
            )
            server = Server(routes(self.config), context)
            stack.push_async_callback(server.stop)
            port = await server.start(self._port)
            self._state, self._url = state, f"http://127.0.0.1:{port}{self.config.base_path}/"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    async def _make_root(self, stack: AsyncExitStack) -> Path:
        if self._root is not None:
            await anyio.to_thread.run_sync(lambda root: root.mkdir(parents=True, exist_ok=True), self._root)
            return self._root
        root = Path(await anyio.to_thread.run_sync(partial(tempfile.mkdtemp, prefix="emasync-simulator-")))
        stack.push_async_callback(anyio.to_thread.run_sync, partial(shutil.rmtree, root))
        return root

    @property
    def url(self) -> str:
        """Where it serves: ``http://127.0.0.1:PORT/``, with the prefix. It stays known after the end; RuntimeError
        before the start.

        >>> async with Simulator(users={"client1": "secret"}, prefix="/api") as sim:
        ...     sim.url.startswith("http://127.0.0.1:"), sim.url.endswith("/api/")
        (True, True)
        """
        if self._url is None:
            raise RuntimeError("the simulator is not running: use `async with Simulator(...) as sim`")
        return self._url

    @property
    def state(self) -> SimulatorState:
        """Users, volumes, images, pods, tokens and the lock as they are now; RuntimeError before the start.

        >>> async with Simulator(users={"client1": "secret"}, exclusive=True) as sim:
        ...     sorted(sim.state.users), sim.state.lock.exclusive, sim.state.lock.held
        (['client1'], True, 0)
        """
        if self._state is None:
            raise RuntimeError("the simulator is not running: use `async with Simulator(...) as sim`")
        return self._state

    def volume(self, user: str, name: str | None = None) -> Path:
        """The folder on disk that is the user's volume `name` (None: the default one), to read and to change.

        The folder is made if missing and is removed at the end with the simulator's temporary root. KeyError for an
        unknown user, ValueError for a name that no volume can have.

        >>> async with Simulator(users={"client1": "secret"}) as sim:
        ...     (sim.volume("client1") / "a.txt").write_text("hello")
        ...     async with Client(sim.url, username="client1", password="secret") as em:
        ...         await em.files.read("a.txt")
        5
        b'hello'
        """
        return self.state.users[user].volume(name).root

    def add_image(self, user: str, image: str) -> str:
        """Register an image for `user` without a build; returns its full name. KeyError for an unknown user.

        >>> async with Simulator(users={"client1": "secret"}) as sim:
        ...     sim.add_image("client1", "echo")
        'client1-echo'
        """
        return self.state.users[user].images.add(image)

    def behaviour(self, image: str, work: Behaviour) -> None:
        """Have pods of `image` (with or without a user's prefix) run `work` from now on, whoever starts them.

        `work` is awaited with a `PodContext` and returns the exit code (None is 0); an exception is exit code 1. It is
        cancelled when the pod is replaced, after `max_duration`, and at the simulator's end.

        >>> async def fail(pod: PodContext) -> int:
        ...     return 3
        >>> async with Simulator(users={"client1": "secret"}, pod_start=0.0) as sim:
        ...     sim.behaviour("broken", fail)
        ...     image = sim.add_image("client1", "broken")
        ...     async with Client(sim.url, username="client1", password="secret") as em:
        ...         run = await em.pods.run("broken")
        ...         async for status in em.pods.watch(run, interval=0.01):
        ...             pass
        ...         status.exit_code
        3
        """
        self._behaviours[image] = work

    def breakpoint(self, endpoint: str, *, at: Stage = "start") -> Breakpoint:
        """Pause requests to `endpoint` (a path or shell pattern) at a stage until the breakpoint is released.

        >>> async with Simulator(users={"client1": "secret"}) as sim:
        ...     async with Client(sim.url, username="client1", password="secret") as em:
        ...         listing = sim.breakpoint("em/files/list")
        ...         task = asyncio.create_task(em.files.list())
        ...         await listing.wait_until_hit()
        ...         listing.waiting, task.done()
        ...         listing.release()
        ...         await task
        (1, False)
        <FileTree: 0 files in 0 folders, 0 bytes>
        """
        return self._breakpoints.add(endpoint, at)

    def revoke_tokens(self, *, refresh: bool = False) -> None:
        """Refuse (401) every access token issued so far; with `refresh`, every refresh token too.

        >>> async with Simulator(users={"client1": "secret"}) as sim:
        ...     async with Client(sim.url, username="client1", password="secret") as em:
        ...         tree = await em.files.list()
        ...         sim.revoke_tokens(refresh=True)
        ...         tree = await em.files.list()  # logs in once more
        ...     [request.path for request in sim.requests].count("auth/")
        2
        """
        self._tokens.revoke(refresh=refresh)
