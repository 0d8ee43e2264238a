"""Password and tokens appear only in the requests they are for: not in logs, errors, reprs or tracebacks.

Every failing transfer runs with full debug logging and asyncio's debug mode.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from aiohttp import web

from emasync import AuthError, BadRequestError, Client, EMError, TransferReport
from emasync.simulator import Fault, Simulator
from tests.contract.stage import PASSWORD, QUICK, USER, connect, some_bytes, write

Seen = Callable[[object], None]


@pytest.fixture
def issued(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every token that the simulator issues."""
    tokens: list[str] = []
    issue = sim.state.tokens.issue

    def spy(user: str, kind: str, *, now: float) -> str:
        tokens.append(issue(user, kind, now=now))  # type: ignore[arg-type]
        return tokens[-1]

    monkeypatch.setattr(sim.state.tokens, "issue", spy)
    return tokens


@pytest.fixture
async def everything(caplog: pytest.LogCaptureFixture) -> AsyncIterator[list[str]]:
    """All text that somebody could read: the test appends to it; the log is captured at debug level."""
    caplog.set_level(logging.DEBUG)
    for name in ("emasync", "asyncio", "aiohttp.client", "aiohttp.server", "aiohttp.web"):
        caplog.set_level(logging.DEBUG, logger=name)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # each callback is logged, with the repr of its task
    shown: list[str] = []
    yield shown
    loop.set_debug(False)


def show(error: BaseException) -> Iterator[str]:
    """An error and all errors it refers to, as a program, a debugger or a bug report would show them."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield from (str(current), repr(current), "".join(traceback.format_exception(current)))
        yield repr(getattr(current, "__dict__", {}))
        waiting += [current.__cause__, current.__context__, getattr(current, "cause", None)]


def assert_clean(texts: list[str], secrets: list[str]) -> None:
    """No text contains a secret, in any spelling that a URL, a form or a log would give it."""
    assert all(len(secret) > 8 for secret in secrets)
    spellings = {
        spelling
        for secret in secrets
        for spelling in (secret, repr(secret)[1:-1], quote(secret), quote(secret, safe=""), quote_plus(secret))
    }
    for text in texts:
        for secret in spellings:
            assert secret not in text


async def upload(em: Client, tmp_path: Path) -> TransferReport:
    """One small uplink."""
    return await em.uplink(write(tmp_path, {"a.bin": some_bytes(200_000)}) / "a.bin")


async def download(em: Client, tmp_path: Path) -> TransferReport:
    """One small downlink."""
    return await em.downlink("there.bin", into=tmp_path / "into")


async def single_calls(em: Client, tmp_path: Path) -> None:
    """A single call, which raises."""
    await em.files.read("there.bin")


@pytest.mark.parametrize("run", [upload, download, single_calls])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", times=None),
        Fault("reset", times=None, at=100),
        Fault("commit_then_drop", times=None),
        Fault("html_502", times=None),
        Fault("html_200", times=None),
        Fault("redirect", times=None),
        Fault("unauthorized_before", times=None),
    ],
    ids=lambda fault: f"{fault.kind} {fault.at or ''}".strip(),
)
@pytest.mark.usefixtures("quick_looks")
async def test_a_failing_run_shows_no_secret(
    em: Client,
    sim: Simulator,
    issued: list[str],
    everything: list[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    fault: Fault,
    run: Callable[[Client, Path], Awaitable[TransferReport | None]],
) -> None:
    # Sabotage: Transport._request raises its mapped error `from error` (aiohttp's carries the Authorization header),
    # or Call shows its form in its repr and somebody logs it.
    write(sim.volume("client1"), {"there.bin": some_bytes(100_000)})
    sim.faults.add(fault)
    try:
        report = await run(em, tmp_path)
    except EMError as error:
        everything.extend(show(error))
    else:
        assert report is not None
        for outcome in report.outcomes:
            everything.append(repr(outcome))
            if outcome.error is not None:
                everything.extend(show(outcome.error))
    everything += [repr(em), repr(em.settings), repr(em.files), repr(vars(em)), caplog.text]
    everything += [repr(record.args) for record in caplog.records]
    assert issued
    assert "em/files" in caplog.text  # the log is really there
    assert_clean(everything, [PASSWORD, *issued])


async def test_a_refused_log_in_shows_no_secret(
    sim: Simulator, everything: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(sim, password="wrong-canary/+&=é") as em:
        with pytest.raises(AuthError) as caught:
            await em.files.list()
    everything += [*show(caught.value), caplog.text, repr(em)]
    assert_clean(everything, ["wrong-canary/+&=é"])


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """A server whose errors repeat the request; it accepts every log-in but those of the user `wrong`."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.text()
        if request.path == "/auth/" and "wrong" not in body:
            return web.json_response({"access": "canary-token/+x", "refresh": "canary-refresh/+y"})
        text = f"you sent {body} with {request.headers.get('Authorization')} to {request.path_qs}"
        return web.json_response({"error": "ECHO", "message": text}, status=401 if "auth" in request.path else 400)

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("password", [PASSWORD, "wrong-canary/+ é\"'<&"])
async def test_a_server_that_repeats_what_it_was_sent_puts_no_secret_into_our_errors(
    everything: list[str], caplog: pytest.LogCaptureFixture, password: str
) -> None:
    # Sabotage: scrub() returns its text as it is.
    async with echo() as url, Client(url, username=USER, password=password, settings=QUICK) as em:
        with pytest.raises((AuthError, BadRequestError), match="you sent") as caught:
            await em.files.list()
    everything += [*show(caught.value), caplog.text]
    assert_clean(everything, [password, "canary-token/+x", "canary-refresh/+y"])


async def test_a_redirect_takes_no_token_elsewhere(em: Client, sim: Simulator) -> None:
    # Sabotage: Transport._request passes allow_redirects=True.
    async with echo() as elsewhere:
        sim.faults.add(Fault("redirect", endpoint="em/files/list", location=f"{elsewhere}em/files/list"))
        with pytest.raises(EMError, match=r"redirects \(302\)") as caught:
            await em.files.list()
        assert "you sent" not in str(caught.value)
