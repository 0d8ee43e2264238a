"""Scripts act on these numbers: they never change."""

from __future__ import annotations

import inspect

import pytest

from emasync import errors
from emasync.cli.exit_codes import ExitCode, exit_code, worst
from emasync.model import PodPhase, PodStatus

_BACK_OFF = PodStatus(phase=PodPhase.WAITING, reason="ImagePullBackOff")
_ENDED = PodStatus(phase=PodPhase.TERMINATED, exit_code=3)

TABLE: list[tuple[BaseException, int]] = [
    (errors.EMError("x"), 1),
    (errors.BusyError("x"), 11),
    (errors.AuthError("x"), 4),
    (errors.NotFoundError("x"), 3),
    (errors.ForbiddenError("x"), 4),
    (errors.BadRequestError("x"), 1),
    (errors.BuildFailedError("x"), 20),
    (errors.ImageLoadError("x"), 20),
    (errors.TooLargeError("x"), 8),
    (errors.ServerError("x"), 5),
    (errors.UnreachableError("x"), 5),
    (errors.TimedOutError("x"), 5),
    (errors.ProtocolError("x"), 1),
    (errors.IntegrityError("x"), 7),
    (errors.UnsafePathError("x"), 1),
    (errors.SourceChangedError("x"), 1),
    (errors.PodFailedError("x", pod=_BACK_OFF), 21),
    (errors.PodFailedError("x", pod=_ENDED), 22),
    (errors.PodVanishedError("x", pod=PodStatus(phase=PodPhase.NONE)), 12),
    (errors.UnknownOutcomeError("x"), 12),
    (FileNotFoundError("x"), 3),
    (PermissionError("x"), 4),
    (OSError("x"), 1),
    (ValueError("x"), 2),
    (LookupError("x"), 2),
    (KeyboardInterrupt(), 130),
    (RuntimeError("x"), 1),
]


@pytest.mark.parametrize(("error", "code"), TABLE, ids=lambda case: type(case).__name__)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    # Sabotage: put the line of EMError first in _TABLE.
    assert exit_code(error) == code


def test_the_table_above_leaves_out_no_error_of_emasync() -> None:
    known = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.EMError)}

    assert known == {type(error) for error, _ in TABLE if isinstance(error, errors.EMError)}


def test_signals_have_the_codes_that_shells_give_them() -> None:
    assert (ExitCode.INTERRUPTED, ExitCode.TERMINATED) == (128 + 2, 128 + 15)


def test_several_failures_share_a_code_or_are_partial() -> None:
    lost, gone = errors.UnreachableError("x"), errors.NotFoundError("x")

    assert worst([]) is ExitCode.DONE
    assert worst([lost, errors.ServerError("x")]) is ExitCode.TEMPORARY
    assert worst([lost, gone]) is ExitCode.PARTIAL
