"""`Client`: the entry point of the package, for one user on one EM.

Opens and closes what its calls share, and builds the options of transfers; decides nothing itself. Must not import the
command line or the simulator.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

import aiohttp
import anyio

from emasync.api import Files, Images, Pods
from emasync.config import Settings, login_from_env
from emasync.disk import FileExecutor
from emasync.http import Transport
from emasync.http.limiter.limiter import ConcurrencyLimiter, load_state, save_state
from emasync.http.pipeline import RequestPipeline
from emasync.model import Glob, NodeStatus, Overwrite, Verify
from emasync.transfer import engine, sync
from emasync.transfer.context import TransferContext
from emasync.transfer.events import OnEvent
from emasync.transfer.limits import BandwidthLimit
from emasync.transfer.options import Confirm, SyncOptions, TransferOptions
from emasync.transfer.planning.filters import Filters
from emasync.transfer.planning.plan import DownlinkPlan, Order, UplinkPlan
from emasync.transfer.planning.selection import plan_downlink
from emasync.transfer.state.schema import journal_scope
from emasync.transfer.state.transfer_journal import OptionalJournal
from emasync.transfer.transfer import Transfer
from emasync.transfer.verification import TagCompatibility
from emasync.wire import requests, responses


class Client:
    """One user on one EM; use it as ``async with Client(url, username=..., password=...) as em:``.

    `em.files`, `em.images`, `em.pods` are single calls and raise; `uplink` and `downlink` move many files and report.
    Any number of tasks may use one Client: they share one token, one connection pool and one view of the EM's lock.
    The first call logs in. A `session` that is handed in stays open at the end; `ssl_context` is for a private CA.
    ValueError for a base URL that cannot be one, or holds credentials.

    Examples in docstrings are as typed in ``python -m asyncio``. `sim` is a running `Simulator`, `em` an open Client on
    it, and its volume holds ``results/a.txt`` and ``results/b.txt``:

    >>> async with Client(sim.url, username="client1", password="secret") as em:
    ...     report = await em.downlink("results/", into="out")
    >>> report.ok, report.bytes
    (True, 18)
    """

    def __init__(  # noqa: PLR0913 - the public signature: each option is a keyword with its help
        self,
        url: str,
        *,
        username: str,
        password: str,
        volume: str | None = None,
        settings: Settings | None = None,
        session: aiohttp.ClientSession | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not _is_utf8(username) or not _is_utf8(password):
            raise ValueError("user name or password is not valid UTF-8: no request can carry it")
        self.settings: Settings = settings or Settings()
        self.username = username
        self._volume = requests.Volume(name=volume, fields=self.settings.volume_fields)
        self._transport = Transport(
            url,
            timeouts=self.settings.timeouts,
            limits=self.settings.limits,
            session=session,
            ssl_context=ssl_context,
        )
        self.url: str = str(self._transport.base_url)
        state = self.settings.state_dir
        self._state = state / "lanes" if state is not None else None
        self._limiter = ConcurrencyLimiter(probe=self._probe)
        self._pipeline = RequestPipeline(
            self._transport,
            username=username,
            password=password,
            limiter=self._limiter,
            policy=self.settings.retry,
        )
        self._stack: AsyncExitStack | None = None
        self._context: TransferContext | None = None
        self.files: Files = Files(self._pipeline, self._volume, limits=self.settings.limits)
        self.images: Images = Images(self._pipeline, self._volume)
        self.pods: Pods = Pods(self._pipeline, self._volume)

    @classmethod
    def from_env(cls, profile: str | None = None, *, settings: Settings | None = None) -> Client:
        """A Client from ``EMASYNC_URL``, ``EMASYNC_USERNAME``, ``EMASYNC_PASSWORD`` (or ``_PASSWORD_FILE``) and
        ``EMASYNC_VOLUME``; what is not set there comes from `profile` in the configuration file. ValueError names what
        is missing, LookupError an unknown profile.

        >>> import os
        >>> os.environ |= {"EMASYNC_URL": sim.url, "EMASYNC_USERNAME": "client1", "EMASYNC_PASSWORD": "secret"}
        >>> async with Client.from_env() as client:
        ...     client.username
        'client1'
        """
        login = login_from_env(profile)
        return cls(login.url, username=login.username, password=login.password, volume=login.volume, settings=settings)

    def __repr__(self) -> str:
        volume = f", volume={self._volume.name!r}" if self._volume.name else ""
        return f"<Client of {self.username!r} on {self.url}{volume}>"

    async def __aenter__(self) -> Client:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._transport)
            threads = await stack.enter_async_context(FileExecutor(size=max(4, min(self.settings.workers, 16))))
            self._context = TransferContext(
                pipeline=self._pipeline,
                files=self.files,
                volume=self._volume,
                threads=threads,
                settings=self.settings,
                limiter=self._limiter,
                up=BandwidthLimit(self.settings.uplink_rate),
                down=BandwidthLimit(self.settings.downlink_rate),
                tags=TagCompatibility(),
                scope=journal_scope(self.url, username=self.username, volume=self._volume.name),
            )
            await self._load_limiter(threads)
            stack.push_async_callback(self._save_limiter, threads)
            stack.push_async_callback(self._context.running.end)  # before threads and connections close
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack, self._context = self._stack, None, None
        if stack is not None:
            await stack.aclose()

    async def _load_limiter(self, threads: FileExecutor) -> None:
        """Start with the concurrency limit that was learned of this EM earlier."""
        if self._state is not None:
            self._limiter.load(await threads.run(partial(load_state, self._state, self.url, now=time.time())))

    async def _save_limiter(self, threads: FileExecutor) -> None:
        """Save what was learned of this EM's lock; nothing is written where nothing was refused."""
        learned = self._limiter.state(learned_at=time.time())
        if self._state is not None and learned.known_limit is not None:
            with anyio.CancelScope(shield=True):
                await threads.run(save_state, self._state, self.url, learned)

    async def nodes(self) -> list[NodeStatus]:
        """The EM's nodes and whether they are up (``em/nodes/status``). NotFoundError on the seed generation.

        >>> [node.name for node in await em.nodes()]
        ['fpga', 'gpu', 'mpu']
        """
        return responses.nodes(await self._pipeline.json(requests.nodes_status()))

    def uplink(  # noqa: PLR0913 - the public signature: each option is a keyword with its help
        self,
        sources: str | Path | Glob | Sequence[str | Path | Glob],
        dest: str = "",
        *,
        workers: int | None = None,
        overwrite: Overwrite | None = None,
        verify: Verify | None = None,
        on_event: OnEvent | None = None,
        journal: str | Path | OptionalJournal | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        deadline: float | None = None,
    ) -> Transfer:
        """Send local files to the folder `dest` of the volume (``""`` is its root), in as few calls as possible.

        A folder keeps its tree, ``src/`` means its contents. In a source only ``*`` and ``**`` are wildcards, unless a
        file has exactly that name; ``Glob("run[0-9].bin")`` has the full syntax. Await the Transfer for a report, or
        iterate it. A file counts as done when a listing of the volume shows it as it was sent; see
        `Outcome.verified`. `workers`: calls under way at once (beside such as wait to be tried again), a ceiling; the
        EM's lock decides. `overwrite` and `verify` default to the settings. `include` and `exclude` are gitignore
        patterns. `on_event` is called in the event loop and must be quick; what it raises ends the transfer and is
        raised. With a `journal` (a file) the same call, made again after a crash, moves only what is not proved to be
        there. After `deadline` seconds what is left fails, or is unknown if it was sent.

        >>> size = Path("a.txt").write_text("hello")
        >>> report = await em.uplink("a.txt", dest="notes")
        >>> report.ok, report.done[0].path
        (True, 'notes/a.txt')
        """
        options = TransferOptions(
            workers=self.settings.workers if workers is None else workers,
            overwrite=overwrite or self.settings.overwrite,
            verify=verify or self.settings.verify,
            on_event=on_event,
            journal=journal,
            include=tuple(include),
            exclude=tuple(exclude),
            deadline_s=deadline,
        )
        return engine.uplink(self._opened, sources, dest=dest, options=options)

    def downlink(  # noqa: PLR0913 - the public signature: each option is a keyword with its help
        self,
        paths: str | Glob | Sequence[str | Glob],
        into: str | Path = "downlink",
        *,
        workers: int | None = None,
        overwrite: Overwrite | None = None,
        verify: Verify | None = None,
        on_event: OnEvent | None = None,
        journal: str | Path | OptionalJournal | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        order: Order = "largest",
        deadline: float | None = None,
    ) -> Transfer:
        """Bring files of the volume to the local folder `into`, which is made if missing.

        A file lands under its base name, a folder keeps its tree, ``results/`` means its contents. In a path only
        ``*`` and ``**`` are wildcards, unless a file or folder has exactly that name: ``run[1].log`` is that file and
        no other. ``Glob("logs/[0-9]*")`` has the full shell-like syntax. Every file appears under its final name whole
        and verified, or not at all. Nothing is written outside `into`, whatever names the server sends. Keywords as in
        `uplink`; `workers`: files at once.

        >>> report = await em.downlink("results/*.txt", into="out")
        >>> sorted(path.name for path in Path("out").iterdir())
        ['a.txt', 'b.txt']

        One file at a time, as each settles:

        >>> async with em.downlink("results/", into="copy", workers=1) as transfer:
        ...     async for outcome in transfer:
        ...         print(outcome.path, outcome.state, outcome.bytes)
        results/b.txt done 12
        results/a.txt done 6
        """
        options = TransferOptions(
            workers=self.settings.workers if workers is None else workers,
            overwrite=overwrite or self.settings.overwrite,
            verify=verify or self.settings.verify,
            on_event=on_event,
            journal=journal,
            include=tuple(include),
            exclude=tuple(exclude),
            order=order,
            deadline_s=deadline,
        )
        return engine.downlink(self._opened, paths, into=into, options=options)

    async def plan_uplink(
        self,
        sources: str | Path | Glob | Sequence[str | Path | Glob],
        dest: str = "",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> UplinkPlan:
        """What `uplink` would do, as a value: which files in which calls, and what is refused. Sends nothing.

        `plan.describe()` says it in a line; `emasync.transfer.planning.plan_file` writes and reads it as JSON lines.

        >>> size = Path("a.txt").write_text("hello")
        >>> (await em.plan_uplink("a.txt")).describe()
        '1 file, 1 call, 5 B'
        """
        filters = Filters(include=tuple(include), exclude=tuple(exclude))
        return await engine.uplink_plan(self._opened, sources, dest=dest, filters=filters)

    async def plan_downlink(
        self,
        paths: str | Glob | Sequence[str | Glob],
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        order: Order = "largest",
    ) -> DownlinkPlan:
        """What `downlink` would do, as a value; it costs one listing.

        >>> (await em.plan_downlink("results/")).describe()
        '2 files, 2 calls, 18 B'
        """
        named = [paths] if isinstance(paths, str | Glob) else list(paths)
        return plan_downlink(named, await self.files.list(), order=order, include=include, exclude=exclude)

    def apply(  # noqa: PLR0913 - the public signature: each option is a keyword with its help
        self,
        plan: UplinkPlan | DownlinkPlan,
        into: str | Path = "downlink",
        *,
        workers: int | None = None,
        overwrite: Overwrite | None = None,
        verify: Verify | None = None,
        on_event: OnEvent | None = None,
        journal: str | Path | OptionalJournal | None = None,
        deadline: float | None = None,
    ) -> Transfer:
        """Carry out a plan made earlier, by this client or another; `into` is for downlinks. As `uplink` and
        `downlink`: a source that changed since it was planned fails, a remote file that changed is fetched as it is.

        >>> plan = await em.plan_downlink("results/a.txt")
        >>> (await em.apply(plan, into="out")).ok
        True
        >>> Path("out/a.txt").read_text()
        'hello\\n'
        """
        options = TransferOptions(
            workers=self.settings.workers if workers is None else workers,
            overwrite=overwrite or self.settings.overwrite,
            verify=verify or self.settings.verify,
            on_event=on_event,
            journal=journal,
            deadline_s=deadline,
        )
        return engine.apply(self._opened, plan, into=into, options=options)

    def sync_up(  # noqa: PLR0913 - the public signature: each option is a keyword with its help
        self,
        local: str | Path,
        remote: str,
        *,
        delete: bool = False,
        dry_run: bool = False,
        max_delete: int | None = None,
        allow_empty_source: bool = False,
        confirm: Confirm | None = None,
        missing_ok: bool = True,
        workers: int | None = None,
        verify: Verify | None = None,
        on_event: OnEvent | None = None,
        journal: str | Path | OptionalJournal | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        deadline: float | None = None,
    ) -> Transfer:
        """Make the folder `remote` of the volume equal to the folder `local`; one listing finds out what differs.

        Files of the same size are compared by content tag. Whether this server computes tags by the known rule is found
        out first: where it does not, size and journal decide; where that cannot be found out, such files are
        transferred; the report's notes say so. `delete` removes what only the target has, at the end and only if
        nothing failed; with more than `max_delete` such files nothing is deleted. `confirm` (an async function) is
        asked before, with a `SyncSummary`; if it says no, DeletionRefusedError, and nothing was moved. So it is, with
        nobody to ask, where the source has no files and the target has, unless `allow_empty_source`. A file of the
        target that changes while the sync runs is kept, and fails with TargetChangedError. `dry_run` moves nothing: the
        report's `plan` has a decision and a reason for each file, as after a real run. Files that need nothing settle
        as `skipped`. NotFoundError if the source is not there, ValueError if it or the target is a file; with
        `missing_ok` off NotFoundError if `remote` is not there either, else it is made. The other keywords as in
        `uplink`.

        >>> Path("site").mkdir()
        >>> size = Path("site/index.html").write_text("<p>hello")
        >>> report = await em.sync_up("site", "results", delete=True, dry_run=True)
        >>> [(decision.path, decision.action) for decision in report.plan]
        [('a.txt', 'delete'), ('b.txt', 'delete'), ('index.html', 'copy')]
        """
        options = TransferOptions(
            workers=self.settings.workers if workers is None else workers,
            overwrite="replace",
            verify=verify or self.settings.verify,
            on_event=on_event,
            journal=journal,
            include=tuple(include),
            exclude=tuple(exclude),
            deadline_s=deadline,
        )
        sync_options = SyncOptions(
            delete=delete,
            dry_run=dry_run,
            max_delete=max_delete,
            allow_empty_source=allow_empty_source,
            confirm=confirm,
            missing_ok=missing_ok,
        )
        return sync.sync_up(self._opened, local, remote, options=options, sync=sync_options)

    def sync_down(  # noqa: PLR0913 - the public signature: each option is a keyword with its help
        self,
        remote: str,
        local: str | Path,
        *,
        delete: bool = False,
        dry_run: bool = False,
        max_delete: int | None = None,
        allow_empty_source: bool = False,
        confirm: Confirm | None = None,
        workers: int | None = None,
        verify: Verify | None = None,
        on_event: OnEvent | None = None,
        journal: str | Path | OptionalJournal | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        deadline: float | None = None,
    ) -> Transfer:
        """Make the folder `local`, made if missing, equal to the folder `remote` of the volume. See `sync_up`.

        >>> (await em.sync_down("results", "out")).ok
        True
        >>> [outcome.state.value for outcome in (await em.sync_down("results", "out")).outcomes]
        ['skipped', 'skipped']
        """
        options = TransferOptions(
            workers=self.settings.workers if workers is None else workers,
            overwrite="replace",
            verify=verify or self.settings.verify,
            on_event=on_event,
            journal=journal,
            include=tuple(include),
            exclude=tuple(exclude),
            deadline_s=deadline,
        )
        sync_options = SyncOptions(
            delete=delete,
            dry_run=dry_run,
            max_delete=max_delete,
            allow_empty_source=allow_empty_source,
            confirm=confirm,
        )
        return sync.sync_down(self._opened, remote, local, options=options, sync=sync_options)

    async def _probe(self) -> bool:
        return await self._pipeline.probe(requests.pod_status(self._volume))

    @property
    def _opened(self) -> TransferContext:
        if self._context is None:
            raise RuntimeError("the Client is closed; use it inside `async with Client(...) as em:`")
        return self._context


def _is_utf8(text: str) -> bool:
    # asked here, where no exception lives on: a codec's own carries the whole text
    return not any("\ud800" <= char <= "\udfff" for char in text)
