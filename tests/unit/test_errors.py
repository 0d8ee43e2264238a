"""The tree of errors is a contract: what catches what."""

from __future__ import annotations

import pytest

from emasync import errors
from emasync.model import PodPhase, PodStatus

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_an_em_error(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.EMError)


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (errors.NotFoundError, FileNotFoundError),
        (errors.ForbiddenError, PermissionError),
        (errors.UnreachableError, ConnectionError),
        (errors.TimedOutError, TimeoutError),
        (errors.UnsafePathError, ValueError),
        (errors.BuildFailedError, errors.BadRequestError),
        (errors.ImageLoadError, errors.BadRequestError),
        (errors.TooLargeError, errors.BadRequestError),
        (errors.PodVanishedError, errors.PodFailedError),
        (errors.PodVanishedError, errors.UnknownOutcomeError),
    ],
)
def test_an_error_is_also_what_a_caller_would_expect(kind: type[Exception], also: type[Exception]) -> None:
    assert issubclass(kind, also)


_WITH_FACTS = (errors.PodFailedError, errors.DeletionRefusedError)  # cannot be made of a message alone


@pytest.mark.parametrize("kind", [kind for kind in ALL if not issubclass(kind, _WITH_FACTS)])
def test_the_message_is_all_that_str_shows(kind: type[Exception]) -> None:
    # OSError's own str() would show "[Errno None] None: ..." for those that are one. Sabotage: drop EMError.__str__.
    assert str(kind("what happened")) == "what happened"


def test_facts_are_attributes_with_quiet_defaults() -> None:
    bad = errors.BadRequestError("no", call="POST x", status=400, code="NO_FILES", log_tail=["a"], fields={"f": ["t"]})
    assert (bad.call, bad.status, bad.code, bad.log_tail, bad.fields) == (
        "POST x",
        400,
        "NO_FILES",
        ("a",),
        {"f": ["t"]},
    )
    plain = errors.BadRequestError("no")
    assert (plain.call, plain.status, plain.detail, plain.code, plain.log_tail, plain.fields) == (
        None,
        None,
        None,
        None,
        (),
        {},
    )


@pytest.mark.parametrize("kind", [errors.PodFailedError, errors.PodVanishedError])
def test_a_pod_failure_carries_its_status(kind: type[errors.PodFailedError]) -> None:
    pod = PodStatus(phase=PodPhase.TERMINATED, reason="Error", message="boom", exit_code=2)
    error = kind("the pod ended", pod=pod)
    assert (error.pod, error.reason, error.detail, str(error)) == (pod, "Error", "boom", "the pod ended")
