"""A transfer of many files on an EM that fails in its own ways: what goes wrong, and what must be true of the end.

Owns: the cases, for the quick tests and for the torture row alike. May import emasync, its simulator and the checker.
Asserts nothing: a case returns the texts of what was wrong with it.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal
from unittest import mock

from emasync import Client, Limits, RetryPolicy, Settings, TransferReport
from emasync.http.limiter.aimd import LimiterConfig
from emasync.http.limiter.limiter import ConcurrencyLimiter
from emasync.simulator import Fault, Simulator
from emasync.transfer.events import Progress, Started
from tests.faults.checker import Run, sha256, storm, tree, violations

UP, DOWN, LIST = "em/files/uplink", "em/files/downlink", "em/files/list"
_HURRIED_PROBES: Final = 2500  # in five seconds: `quick_waits` takes hundredths of the limiter's own pauses
USERS: Final = {"client1": "canary"}

Deed = Callable[[Simulator], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What goes wrong in one transfer. `faults` are made anew for each case, `options` are keywords of the simulator.
    `deed` is done to the simulator when the first bytes move, `turn` before every file. `ends`: how files may end
    (``done``, ``unknown`` or the name of an error class). `resends`: correct requests that no fault explains."""

    name: str
    direction: Literal["up", "down"]
    faults: Callable[[random.Random], Sequence[Fault]] = lambda rng: ()
    options: Callable[[random.Random], Mapping[str, Any]] = lambda rng: {}
    deed: Deed | None = None
    turn: Deed | None = None
    ends: frozenset[str] = field(default_factory=lambda: frozenset({"done"}))
    resends: int = 0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a case ended: faults that struck, and what was wrong."""

    faults: int
    wrong: tuple[str, ...]


@contextlib.contextmanager
def quick_waits() -> Iterator[None]:
    """Do not wait seconds where emasync's own constants would."""
    limiter = partial(ConcurrencyLimiter, config=LimiterConfig(backoff_base_s=0.002, backoff_cap_s=0.02))
    with (
        mock.patch("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0, 0.005, 0.05, 0.3)),
        mock.patch("emasync.client.ConcurrencyLimiter", limiter),
    ):
        yield


def _settings(trouble: Trouble) -> Settings:
    retry = RetryPolicy(retries=8, base_s=0.0005, cap_s=0.004, busy_timeout_s=20.0)
    return Settings(retry=retry, limits=trouble.limits, durable=False, state_dir=None)


async def suffer(trouble: Trouble, folder: Path, *, rng: random.Random) -> Result:
    """Move some files through `trouble`, inside `quick_waits`; `folder` is empty."""
    files = _some_files(rng)
    faults = trouble.faults(rng)
    options: dict[str, Any] = dict(trouble.options(rng))
    async with Simulator(USERS, faults=faults, seed=rng.randrange(2**32), root=folder / "em", **options) as sim:
        async with Client(sim.url, username="client1", password="canary", settings=_settings(trouble)) as em:
            run = await _move(trouble, sim, em, folder, files)
            wrong = violations(run) + _judge(trouble, sim, run)
    struck = sum(request.fault is not None for request in sim.requests)
    return Result(faults=struck if faults else 1, wrong=tuple(wrong))  # else the trouble is in the EM's configuration


def _some_files(rng: random.Random) -> dict[str, bytes]:
    count = rng.randrange(3, 20)
    sizes = [rng.choice((0, 1, rng.randrange(2000), rng.randrange(100_000))) for _ in range(count)]
    return {f"{rng.choice('xyz')}/{n:02}.bin": rng.randbytes(size) for n, size in enumerate([*sizes, 5000])}


async def _move(trouble: Trouble, sim: Simulator, em: Client, folder: Path, files: Mapping[str, bytes]) -> Run:
    up = trouble.direction == "up"
    volume, local = sim.volume("client1"), folder / "local"
    destination = volume if up else local
    for name, data in files.items():
        _write(local / name if up else volume / name, data)
        if len(data) % 2:  # some are there already, in another version of the same size
            _write(destination / name, bytes(byte ^ 0x55 for byte in data))
    destination.mkdir(exist_ok=True)
    before = tree(destination)
    did = False

    def on_event(event: object) -> None:
        nonlocal did
        if trouble.turn is not None and isinstance(event, Started):
            trouble.turn(sim)
        if trouble.deed is not None and isinstance(event, Progress) and not did:
            did = True
            trouble.deed(sim)

    call = em.uplink(f"{local}/", on_event=on_event) if up else em.downlink("/", into=local, on_event=on_event)
    report = await call
    assert did or trouble.deed is None, f"{trouble.name}: nothing was done"
    wanted = {name: sha256(data) for name, data in files.items()}
    return Run(
        direction=trouble.direction,
        wanted=wanted,
        before=before,
        destination=destination,
        report=report,
        ended_ok=report.ok,
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _judge(trouble: Trouble, sim: Simulator, run: Run) -> list[str]:
    assert run.report is not None
    ends = _ends(run.report)
    found = [] if ends <= trouble.ends else [f"ended with {sorted(ends)}, not with {sorted(trouble.ends)}"]
    struck = sum(request.fault is not None or request.status >= 400 for request in sim.requests)
    budget = 2 * struck + trouble.resends + 4
    expiries = 1 if trouble.deed else 0
    return found + storm(sim.requests, items=len(run.wanted), budget=budget, expiries=expiries, probes=_HURRIED_PROBES)


def _ends(report: TransferReport) -> frozenset[str]:
    return frozenset(
        type(outcome.error).__name__ if outcome.error else str(outcome.state) for outcome in report.outcomes
    )


def _revoke(sim: Simulator) -> None:
    sim.revoke_tokens()


def _other_form(sim: Simulator) -> None:
    # The config is frozen; a real EM may be upgraded while a client runs.
    object.__setattr__(sim.config, "downlink_form", "raw" if sim.config.downlink_form == "json" else "json")


def _form(rng: random.Random) -> Mapping[str, Any]:
    return {"downlink_form": rng.choice(("json", "raw"))}


def _rarely(kind: str, endpoint: str, **words: Any) -> Callable[[random.Random], Sequence[Fault]]:
    """A few requests are hit, spread at random; fewer than emasync has patience for."""

    def faults(rng: random.Random) -> Sequence[Fault]:
        given = {name: value(rng) if callable(value) else value for name, value in words.items()}
        wanted = {"times": rng.randrange(1, 4), "probability": rng.choice((0.3, 1.0)), **given}
        return [Fault(kind, endpoint=endpoint, **wanted), Fault(kind, endpoint=endpoint, times=1)]  # type: ignore[arg-type]

    return faults


def _storm_of(*kinds: str, endpoint: str) -> Callable[[random.Random], Sequence[Fault]]:
    def faults(rng: random.Random) -> Sequence[Fault]:
        return [
            Fault(kind, endpoint=endpoint, times=rng.randrange(3, 12), probability=rng.choice((0.5, 1.0)))  # type: ignore[arg-type]
            for kind in kinds
        ]

    return faults


def _always(kind: str, endpoint: str) -> Callable[[random.Random], Sequence[Fault]]:
    return lambda rng: [Fault(kind, endpoint=endpoint, times=None)]  # type: ignore[arg-type]


def _up(name: str, faults: Callable[[random.Random], Sequence[Fault]] = lambda rng: (), **more: Any) -> Trouble:
    return Trouble(name=name, direction="up", faults=faults, **more)


def _down(name: str, faults: Callable[[random.Random], Sequence[Fault]], **more: Any) -> Trouble:
    return Trouble(name=name, direction="down", faults=faults, **{"options": _form, **more})


_AT = {"at": lambda rng: rng.randrange(5000)}
_HARD = {"hard": lambda rng: rng.random() < 0.5}
_COUNT = {"count": lambda rng: rng.randrange(1, 4), "claim_full": lambda rng: rng.random() < 0.5, "times": 1}
_FAR = frozenset({"AuthError"})

TROUBLES: Final[tuple[Trouble, ...]] = (
    _up("fewer-files-stored-than-sent", _rarely("drop_files", UP, **_COUNT), resends=20),
    _up("a-file-stored-cut-short", _rarely("truncate_store", UP, times=1), resends=20),
    _up("a-listing-that-lags", options=lambda rng: {"list_lag": rng.uniform(0.0, 0.2)}, resends=60),
    _up(
        "more-files-than-a-call-may-have",
        options=lambda rng: {"uplink_files": rng.randrange(1, 5)},
        limits=Limits(uplink_files=100),
    ),
    _up("more-bytes-than-a-call-may-have", options=lambda rng: {"uplink_limit": rng.randrange(100_000, 150_000)}),
    _up("done-and-the-answer-lost", _rarely("commit_then_drop", UP, **_HARD)),
    _up("reset-in-the-body", _rarely("reset", UP, times=1, **_AT)),
    _up("locked-before-the-body", _storm_of("busy_before", endpoint=UP)),
    _up("locked-in-and-after-the-body", _storm_of("busy_during", "busy_after", endpoint=UP)),
    _up("everything-locked-now-and-then", _storm_of("busy_before", "busy_after", endpoint="em/*")),
    _up("taken-before-it-was-sent", _rarely("early_answer", UP, times=1, **_HARD), resends=20),
    _up("failed-with-500", lambda rng: [Fault("error_500", endpoint=UP, after=rng.randrange(3))], resends=20),
    _up("a-proxys-page", _rarely("html_502", UP, times=1), resends=20),
    _up(
        "the-token-dies-after-the-body",
        _rarely("unauthorized_after_body", UP, times=1, probability=1.0),
        ends=frozenset({"done", "AuthError"}),
        resends=20,
    ),
    _up("the-token-is-shorter-than-the-upload", options=lambda rng: {"buffering": True}, deed=_revoke, resends=20),
    _up("every-fresh-token-refused", _always("unauthorized_before", UP), ends=_FAR),
    _up("an-exclusive-lock", options=lambda rng: {"exclusive": True, "hold": 0.001}),
    _up("a-listing-that-fails", _rarely("error_500", LIST, times=1)),
    _down("cut", _rarely("cut_body", DOWN, **_AT)),
    _down("a-wrong-byte", _rarely("corrupt_body", DOWN, times=1)),
    _down("a-wrong-hash", _rarely("wrong_hash", DOWN, times=1), options=lambda rng: {"downlink_form": "json"}),
    _down("a-wrong-size", _rarely("wrong_size", DOWN, times=1), options=lambda rng: {"downlink_form": "json"}),
    _down(
        "a-listing-with-wrong-sizes",
        _rarely("wrong_size", LIST, times=1, probability=1.0),
        ends=frozenset({"done", "IntegrityError"}),
        resends=60,
    ),
    _down("reset", _rarely("reset", DOWN, **_AT)),
    _down("a-page-with-200", _rarely("html_200", DOWN, times=1)),
    _down("a-proxys-page", _rarely("html_502", DOWN, times=2)),
    _down("locked-now-and-then", _storm_of("busy_before", endpoint="em/*")),
    _down("both-forms-in-turn", lambda rng: (), turn=_other_form),
    _down("the-token-is-revoked", lambda rng: (), deed=_revoke),
    _down("every-fresh-token-refused", _always("unauthorized_before", DOWN), ends=_FAR),
    _down("an-exclusive-lock", lambda rng: (), options=lambda rng: {"exclusive": True, "hold": 0.001}),
)
