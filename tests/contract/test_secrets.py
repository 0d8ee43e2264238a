"""Password and tokens appear nowhere but in the requests they are for: not in logs, errors, reprs or tracebacks.

Owns: the canaries. Every failing run is made with full debug logging and asyncio's debug mode.
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
    """Every token that the simulator gives out."""
    tokens: list[str] = []
    issue = sim.state.tokens.issue

    def spy(user: str, kind: str, *, now: float) -> str:
        tokens.append(issue(user, kind, now=now))  # type: ignore[arg-type]
        return tokens[-1]

    monkeypatch.setattr(sim.state.tokens, "issue", spy)
    return tokens


@pytest.fixture
async def everything(caplog: pytest.LogCaptureFixture) -> AsyncIterator[list[str]]:
    """All that could be read: what a test puts in, and at the end the log."""
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
    """An error as a program, a debugger or a bug report would show it, and all that hangs on it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield from (str(one), repr(one), "".join(traceback.format_exception(one)), repr(getattr(one, "__dict__", {})))
        waiting += [one.__cause__, one.__context__, getattr(one, "cause", None)]


def assert_clean(texts: list[str], secrets: list[str]) -> None:
    """No secret in any text, in any spelling a wire or a log would give it."""
    assert all(len(secret) > 8 for secret in secrets)
    spellings = {
        shape for one in secrets for shape in (one, repr(one)[1:-1], quote(one), quote(one, safe=""), quote_plus(one))
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
    """A server that says back, in its errors, whatever it was sent; it takes any log-in but those of `wrong`."""

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
