"""Scripts act on these numbers: they never change."""

from __future__ import annotations

import inspect

import pytest

from emasync import errors
from emasync.cli.exit_codes import ExitCode, code_of_items, exit_code
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
    (errors.TargetChangedError("x"), 1),
    (errors.DeletionRefusedError("x", side="local", files=1, bytes=1), 1),
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
    assert (ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.TERMINATED) == (128 + 1, 128 + 2, 128 + 15)


_LOST, _DOWN, _GONE = errors.UnreachableError("x"), errors.ServerError("x"), errors.NotFoundError("x")
_UNSURE = errors.UnknownOutcomeError("x")


# Sabotage: any one line of `code_of_items`: `unknown or` left out, `len(codes) >= items` left out, PARTIAL for all.
@pytest.mark.parametrize(
    ("failures", "items", "unknown", "code"),
    [
        ([], 0, False, ExitCode.DONE),
        ([], 3, False, ExitCode.DONE),
        ([], 3, True, ExitCode.UNKNOWN),
        ([_LOST], 1, False, ExitCode.TEMPORARY),
        ([_LOST, _DOWN], 2, False, ExitCode.TEMPORARY),  # all failed, with one code
        ([_LOST, _DOWN], 3, False, ExitCode.PARTIAL),  # one did not fail
        ([_LOST, _GONE], 2, False, ExitCode.PARTIAL),  # all failed, with different codes
        ([_LOST, _LOST], 3, True, ExitCode.UNKNOWN),
        ([_LOST, _UNSURE], 2, False, ExitCode.UNKNOWN),
    ],
)
def test_several_items_have_the_code_that_the_readme_gives(
    failures: list[BaseException], items: int, unknown: bool, code: ExitCode
) -> None:
    assert code_of_items(failures, items=items, unknown=unknown) is code
