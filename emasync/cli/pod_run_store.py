"""The handle of the pod run that was started last, stored for a later ``emasync pod wait`` or ``watch``.

One private file for each EM, user and pod in the state directory. A directory that cannot be used costs the handle and
nothing else. The file holds no secret: a PodRun has neither command nor environment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from anyio import to_thread

from emasync.cli.runner import CommandContext
from emasync.model import PodRun

_LARGEST: Final = 256 * 1024  # bytes; the status before the run is the server's text
_KEPT_S: Final = 7 * 86_400.0


async def save_run(context: CommandContext, run: PodRun) -> None:
    """Write the handle; print one line if that fails."""
    file = _file(context, run.pod_name)
    if file is None:
        return
    try:
        await to_thread.run_sync(_write, file, run)
    except OSError as error:
        context.output.info(f"the run is not remembered for a later `emasync pod wait`: {error.strerror or error}")


async def load_run(context: CommandContext) -> PodRun | None:
    """The run that was started last from this machine, or None: none is known, it is a week old, or unreadable."""
    file = _file(context, context.em.pods.pod_name)
    run = None if file is None else await to_thread.run_sync(_read, file)
    if run is None or run.pod_name != context.em.pods.pod_name:
        return None
    age_s = (datetime.now(UTC) - run.asked_at).total_seconds()
    return run if age_s < run.bound_s + _KEPT_S else None


async def remove_run(context: CommandContext, run: PodRun | None) -> None:
    """Remove the handle of `run`, whose end was printed, unless another run was started meanwhile."""
    file = _file(context, context.em.pods.pod_name)
    if run is not None and file is not None and await to_thread.run_sync(_read, file) == run:
        with contextlib.suppress(OSError):
            await to_thread.run_sync(file.unlink)


def _file(context: CommandContext, pod_name: str | None) -> Path | None:
    folder = context.em.settings.state_dir
    scope = json.dumps([context.em.url, context.em.username, pod_name])
    digest = hashlib.sha256(scope.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return None if folder is None else folder / "pods" / f"run-{digest}.json"


def _write(file: Path, run: PodRun) -> None:
    """Whole or not at all. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps(run.as_dict())
    if len(text) > _LARGEST:
        raise OSError("the status before the run is too long to be kept")
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _read(file: Path) -> PodRun | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            values: Any = json.loads(opened.read(_LARGEST + 1))
        return PodRun.from_dict(values)
    except (OSError, ValueError, RecursionError):
        return None
