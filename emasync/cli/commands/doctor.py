"""``emasync doctor``: what is asked of an EM, what is concluded from the answers, and the table with advice.

Must not use the client's pipeline: its retries would hide what is to be seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from typing import Any

import anyio
import click

from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.options import GlobalOptions, option, with_global_options
from emasync.cli.output import Output, escape_name, size
from emasync.cli.runner import run_local
from emasync.cli.settings import ResolvedSettings, check_complete, read_password, resolve_settings
from emasync.cli.unretried_client import Answer, UnretriedClient, unretried_client
from emasync.config import Limits, Settings
from emasync.errors import AuthError, BusyError, EMError, NotFoundError, ServerError, TimedOutError, UnreachableError
from emasync.http import check_base_url
from emasync.http.response import FileContent
from emasync.model import FileEntry, FileTree, Token
from emasync.wire import requests
from emasync.wire.content_tag import content_tag

_SKEW_S = 5.0
_SLOW_LISTING_S = 5.0
_TAG_FILES = 2  # read at most; a difference in one file alone proves nothing
_SMALL_FILE = 1_000_000
_AT_ONCE = 4


@click.command("doctor")
@option("--learn", is_flag=True, help="find out how many calls at once the EM takes")
@with_global_options
def doctor(options: GlobalOptions, *, learn: bool) -> None:
    """Check the settings, the way to the EM, the log-in, the clocks, and how this EM behaves; with advice.

    Changes nothing on the EM. Makes about ten small calls, reads one small file, and with --learn some thirty calls
    more. The exit code is 0 unless a row fails.

    \b
    emasync doctor
    emasync doctor --learn --json | jq -r 'select(.level == "warn") | .advice'
    """
    run_local(options, partial(_doctor, learn=learn))


def _doctor(options: GlobalOptions, output: Output, *, learn: bool) -> ExitCode:
    found: list[Finding] = []

    def report(finding: Finding) -> None:
        found.append(finding)
        output.result("check", _table_row(finding), **finding.fields)

    try:
        resolved = resolve_settings(options)
        check_complete(resolved)
        check_base_url(resolved.get("url") or "")  # a URL that holds a password must not be printed
        secret = read_password(resolved)
    except (OSError, ValueError, LookupError) as error:
        advice = "`emasync auth login` asks for what is missing"
        report(Finding(name="settings", level=Level.FAIL, text=str(error), advice=advice))
        return exit_code(error)
    where = f"{resolved.get('username')} at {resolved.get('url')} ({resolved.values['url'].origin})"
    report(Finding(name="settings", level=Level.OK, text=where))
    failure = anyio.run(partial(_examine, options, resolved, secret, report, learn=learn))
    if failure is not None:
        return exit_code(failure)
    warned = sum(finding.level is Level.WARN for finding in found)
    output.info("all is well" if not warned else f"nothing fails; {warned} to look at")
    return ExitCode.DONE


async def _examine(
    options: GlobalOptions, resolved: ResolvedSettings, secret: str, report: Report, *, learn: bool
) -> EMError | None:
    volume = requests.Volume(name=resolved.get("volume"), fields=Settings().volume_fields)
    async with unretried_client(options, resolved, password=secret) as em:
        return await run_checks(em, report, insecure=options.insecure, volume=volume, learn=learn)


def _table_row(finding: Finding) -> list[str]:
    advice = [f"{'':19}> {finding.advice}"] if finding.advice else []
    return [f"{_MARKS[finding.level]}  {finding.name:11}  {finding.text}", *advice]


class Level(StrEnum):
    """How a check ended; `none`: it could not be made."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NONE = "none"


_MARKS = {Level.OK: "ok  ", Level.WARN: "warn", Level.FAIL: "FAIL", Level.NONE: "-   "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row of the table. `advice` is empty where there is nothing to do."""

    name: str
    level: Level
    text: str
    advice: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """As a JSON line has it."""
        return {"name": self.name, "level": str(self.level), "found": self.text, "advice": self.advice or None}


Report = Callable[[Finding], None]


async def run_checks(
    em: UnretriedClient, report: Report, *, insecure: bool, volume: requests.Volume, learn: bool
) -> EMError | None:
    """Make all checks, and `report` each as it is done. Returns the first failure. All but the first need a log-in."""
    try:
        token = await em.token()
    except EMError as error:
        for finding in _no_log_in(error):
            report(finding)
        return error
    assert em.logged_in is not None
    report(_row("reachable", f"{em.url.host}:{em.url.port} answers"))
    report(_tls(em, insecure=insecure))
    report(_log_in(token))
    report(_clock(em.logged_in))
    checks = _Checks(em, volume)
    failed: EMError | None = None
    for name, check in checks.all(learn=learn):
        try:
            report(await check())
        except BusyError as error:
            advice = "another call holds the EM (a build, a long uplink); run doctor again when it has ended"
            report(Finding(name=name, level=Level.WARN, text=str(error), advice=advice))
        except EMError as error:
            failed = failed or error
            report(Finding(name=name, level=Level.FAIL, text=str(error), advice=_ADVICE_AGAIN))
    return failed


_ADVICE_AGAIN = "run doctor again; if it stays so, send this line to whoever runs the EM"


def _row(name: str, text: str, *, advice: str = "") -> Finding:
    """The finding of a successful check; with `advice` it is a warning."""
    return Finding(name=name, level=Level.WARN if advice else Level.OK, text=text, advice=advice)


def _no_log_in(error: EMError) -> list[Finding]:
    """What a failed log-in reveals: a wrong password, a network problem, or a wrong address."""
    if isinstance(error, AuthError):
        advice = "check the user name and the password; `emasync auth status` says where both come from"
        return [
            _row("reachable", "the EM answers"),
            Finding(name="log-in", level=Level.FAIL, text=str(error), advice=advice),
        ]
    if "certificate" in str(error).lower():
        advice = "give the certificate of the EM's own authority with --ca FILE.pem"
        return [Finding(name="TLS", level=Level.FAIL, text=str(error), advice=advice)]
    if isinstance(error, BusyError | ServerError | TimedOutError | UnreachableError):
        advice = "check the URL, the network (VPN?), and that the EM is reserved and up now"
    else:
        advice = "is the base URL that of an EM? `emasync config show` says where it comes from"
    return [Finding(name="reachable", level=Level.FAIL, text=str(error), advice=advice)]


def _tls(em: UnretriedClient, *, insecure: bool) -> Finding:
    if em.url.scheme == "https":
        if insecure:
            return _row(
                "TLS", "the certificate is not checked", advice="leave --insecure away; --ca trusts one of yours"
            )
        return _row("TLS", "https, certificate checked")
    try:
        local = ip_address(em.url.host or "").is_loopback
    except ValueError:
        local = em.url.host == "localhost"
    if local:
        return _row("TLS", "none, on this machine only")
    return _row("TLS", "none: the password travels in the clear", advice="use the EM's https:// address if it has one")


def _log_in(token: Token) -> Finding:
    life = "does not say how long it lives" if token.lifetime_s is None else f"lives {token.lifetime_s:.0f} s"
    return _row("log-in", f"works; the token {life}{', and can be refreshed' if token.refresh else ''}")


def _clock(answer: Answer) -> Finding:
    try:
        served = parsedate_to_datetime(answer.date or "").timestamp()
    except (ValueError, OverflowError):
        return Finding(name="clock", level=Level.NONE, text="the EM's answers do not say what time it is")
    # The header is cut to whole seconds, and was written somewhere between the question and the answer.
    skew = served + 0.5 - (answer.asked_at + answer.seconds / 2)
    if abs(skew) <= _SKEW_S:
        return _row("clock", "ours and the EM's agree to a few seconds")
    way = "ahead of" if skew > 0 else "behind"
    advice = "transfers do not mind; `pod run --at` means the EM's clock, so set yours (NTP)"
    return _row("clock", f"the EM's clock is {abs(skew):.0f} s {way} ours", advice=advice)


class _Checks:
    """The checks that need a log-in, in order. The check of the listing keeps it for the check of the tag."""

    def __init__(self, em: UnretriedClient, volume: requests.Volume) -> None:
        self._em = em
        self._volume = volume
        self._tree: FileTree | None = None

    def all(self, *, learn: bool) -> list[tuple[str, Callable[[], Awaitable[Finding]]]]:
        checks: list[tuple[str, Callable[[], Awaitable[Finding]]]] = [
            ("round trip", self.round_trip),
            ("generation", self.generation),
            ("listing", self.listing),
            ("content tag", self.tag),
            ("concurrency", self.concurrency),
        ]
        return [*checks, ("width", self.width)] if learn else checks

    async def round_trip(self) -> Finding:
        await ask_until_free(self._em, requests.pod_status(self._volume))
        answer = await ask_until_free(self._em, requests.pod_status(self._volume))  # the connection is open now
        return _row("round trip", f"{answer.seconds * 1000:.0f} ms for a pod's status")

    async def generation(self) -> Finding:
        if not await self._has(requests.nodes_status()):
            return _row("generation", "seed (2025): no node list, JSON downlinks")
        if await self._has(requests.ApiRequest(kind=requests.Kind.READ, method="GET", path="em/pvc/list")):
            return _row("generation", "2026: nodes, named volumes, raw downlinks")
        return _row("generation", "December 2025: nodes, named pods, raw downlinks")

    async def _has(self, call: requests.ApiRequest) -> bool:
        try:
            await ask_until_free(self._em, call)
        except NotFoundError:
            return False
        return True

    async def listing(self) -> Finding:
        answer = await ask_until_free(self._em, requests.list_files(self._volume))
        tree: FileTree = answer.json
        self._tree = tree
        text = f"{len(tree)} files, {size(tree.total_size)}, in {answer.seconds:.2f} s"
        slow = answer.seconds > _SLOW_LISTING_S
        return _row(
            "listing", text, advice="every sync costs one or two of these; delete what is done with" if slow else ""
        )

    async def tag(self) -> Finding:
        small = [
            entry
            for entry in self._tree or ()
            if entry.content_tag is not None and 0 < (entry.size or 0) <= _SMALL_FILE and entry.path.isprintable()
        ]
        if not small:
            text = "no file in the volume to prove it on"
            return Finding(
                name="content tag", level=Level.NONE, text=text, advice="send any small file, and look again"
            )
        differing: list[FileEntry] = []
        for entry in sorted(small, key=lambda entry: entry.size or 0)[:_TAG_FILES]:
            if content_tag(await self._read(entry)) == entry.content_tag:
                name = escape_name(entry.path)
                return _row("content tag", f"holds for {name}: a sync compares contents with one listing")
            differing.append(entry)
        return await self._tag_differs(differing)

    async def _tag_differs(self, entries: Sequence[FileEntry]) -> Finding:
        """No file that was read has the listed tag. One may have been rewritten between listing and read: only what a
        second listing shows unchanged counts, and one file alone says little."""
        answer = await ask_until_free(self._em, requests.list_files(self._volume))
        tree: FileTree = answer.json
        same = [escape_name(entry.path) for entry in entries if tree.get(entry.path) == entry]
        if len(same) < _TAG_FILES:
            text = "not known: a file that was read has another tag, which may be its own fault"
            advice = "send two small files that nobody changes, and look again"
            return Finding(name="content tag", level=Level.NONE, text=text, advice=advice)
        advice = "until that is known for certain, sync moves files of equal size again; `--verify size` goes by sizes"
        return _row("content tag", f"does not hold for {' and '.join(same)}", advice=advice)

    async def _read(self, entry: FileEntry) -> bytes:
        token = await self._em.token()
        async with self._em.transport.send(requests.downlink(self._volume, entry.path), token=token.access) as reply:
            content = FileContent(reply, Limits(), expected_size=entry.size)
            parts = []
            while chunk := await content.receive():
                parts.append(chunk)
        data = b"".join(parts)
        content.verify(hashlib.sha256(data).hexdigest())
        return data

    async def concurrency(self) -> Finding:
        refused = await count_refused(self._em, self._volume, _AT_ONCE)
        if not refused:
            return _row("concurrency", f"{_AT_ONCE} calls at once are taken")
        text = f"{refused} of {_AT_ONCE} calls at once are refused; transfers take turns by themselves"
        return _row("concurrency", text)

    async def width(self) -> Finding:
        limits = await measure_concurrency(self._em, self._volume)
        if limits.refused is None:
            return _row("width", f"at least {limits.accepted} calls at once; --workers {limits.accepted} is safe")
        return _row("width", f"{limits.accepted} calls at once are taken, of {limits.refused} some are refused")


_PAUSE_S, _PATIENCE_S = 0.5, 20.0
_ROUNDS = (2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimits:
    """`accepted`: the most requests at once that the EM accepted; `refused`: the fewest of which it refused some."""

    accepted: int
    refused: int | None


async def ask_until_free(em: UnretriedClient, call: requests.ApiRequest) -> Answer:
    """Send `call`, again and again while the EM is busy, for at most 20 s; then BusyError."""
    deadline = anyio.current_time() + _PATIENCE_S
    while True:
        try:
            return await em.ask(call)
        except BusyError:
            if anyio.current_time() > deadline:
                raise
        await anyio.sleep(_PAUSE_S)


async def count_refused(em: UnretriedClient, volume: requests.Volume, count: int) -> int:
    """How many of `count` calls at once the EM refuses as busy. One of them is a listing, which takes longest."""
    await ask_until_free(em, requests.pod_status(volume))
    refused: list[EMError] = []
    failed: list[EMError] = []

    async def ask(call: requests.ApiRequest) -> None:
        try:
            await em.ask(call)
        except BusyError as error:
            refused.append(error)
        except EMError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, requests.list_files(volume))
        for _ in range(count - 1):
            tasks.start_soon(ask, requests.pod_status(volume))
    if failed:
        raise failed[0]
    return len(refused)


async def measure_concurrency(em: UnretriedClient, volume: requests.Volume) -> ConcurrencyLimits:
    """Double the number of calls at once until some are refused (at most 32), then search the limit between."""
    accepted, refused = 1, None
    for count in _ROUNDS:
        if await count_refused(em, volume, count):
            refused = count
            break
        accepted = count
    while refused is not None and refused - accepted > 1:
        middle = (accepted + refused) // 2
        if await count_refused(em, volume, middle):
            refused = middle
        else:
            accepted = middle
    return ConcurrencyLimits(accepted=accepted, refused=refused)
