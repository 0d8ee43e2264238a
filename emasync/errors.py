"""Every error that emasync raises on purpose, as one tree.

An error carries facts as attributes, and one sentence as its message. Must not import anything of emasync but the
values that errors carry (`emasync.model.pods`), and those for type checking only.

    EMError
    +-- BusyError             the EM stayed locked (423) or overloaded (429, 503) beyond the busy budget
    +-- AuthError             log-in refused, or a fresh token refused
    +-- NotFoundError         404; also a FileNotFoundError
    +-- ForbiddenError        403; also a PermissionError
    +-- BadRequestError       any other 4xx: .code, .log_tail, .fields
    |   +-- BuildFailedError  BUILD_FAILED: .log_tail has the last lines of the build
    |   +-- ImageLoadError    IMAGE_LOAD_FAILED
    |   +-- TooLargeError     413, or MAX_UPLINK_SIZE_EXCEEDED
    +-- ServerError           5xx
    +-- UnreachableError      no connection, or it broke; .sent: it may have arrived; also a ConnectionError
    +-- TimedOutError         .phase says where: connect, send, answer, receive, pod; also a TimeoutError
    +-- ProtocolError         the response is not as the EM API defines it
    +-- IntegrityError        the received or stored bytes are not those of the file
    +-- UnsafePathError       a name that must not become a path; also a ValueError
    +-- SourceChangedError    a local file changed while it was read
    +-- TargetChangedError    a file that was to be replaced or deleted changed since it was compared: it was kept
    +-- DeletionRefusedError  a sync would have deleted files without agreement: .side, .files, .bytes
    +-- PodFailedError        the pod cannot start, or ended badly: .pod is its last status
    |   +-- PodVanishedError  the run's pod is shown no more: how it ended is unknown; also an UnknownOutcomeError
    +-- UnknownOutcomeError   the request may or may not have taken effect; the message says how to find out

Misuse (a naive datetime, an empty path) is ValueError or TypeError.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emasync.model.pods import PodStatus


class EMError(Exception):
    """Base of all. `call` is the request as ``POST em/files/uplink``; `status` the HTTP status, if one came.

    `detail` is the server's message, untrusted: pass it through `emasync.model.safe` before it reaches a terminal.
    """

    def __init__(
        self, message: str, *, call: str | None = None, status: int | None = None, detail: str | None = None
    ) -> None:
        super().__init__(message)
        self.call = call
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class BusyError(EMError):
    """423, 429 or 503. `waited_s`: how long emasync waited; `retry_after_s`: the wait that the server asks for."""

    def __init__(  # noqa: PLR0913 - the facts that the error carries
        self,
        message: str,
        *,
        call: str | None = None,
        status: int | None = None,
        detail: str | None = None,
        waited_s: float = 0.0,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, call=call, status=status, detail=detail)
        self.waited_s = waited_s
        self.retry_after_s = retry_after_s


class AuthError(EMError):
    """The user name or password is wrong, or the server refuses every fresh token."""


class NotFoundError(EMError, FileNotFoundError):
    """404: no such file, image or pod, or no such endpoint in this generation of server."""


class ForbiddenError(EMError, PermissionError):
    """403: a path outside the user's volume, or a right the user does not have."""


class BadRequestError(EMError):
    """Another 4xx. `code` is the EM's own (``NO_FILES``); `fields`: validation errors by field."""

    def __init__(  # noqa: PLR0913 - the facts that the error carries
        self,
        message: str,
        *,
        call: str | None = None,
        status: int | None = None,
        detail: str | None = None,
        code: str | None = None,
        log_tail: Sequence[str] = (),
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message, call=call, status=status, detail=detail)
        self.code = code
        self.log_tail = tuple(log_tail)
        self.fields = dict(fields or {})


class BuildFailedError(BadRequestError):
    """The image did not build; `log_tail` holds the last lines the builder printed (at most 100)."""


class ImageLoadError(BadRequestError):
    """The image tar could not be loaded."""


class TooLargeError(BadRequestError):
    """One uplink call carried more than the server takes (500 MB in the seed generation, 2 GB later)."""


class ServerError(EMError):
    """5xx other than 503: the server failed; the request may have taken effect."""


class UnreachableError(EMError, ConnectionError):
    """No connection, or it broke before the response. `sent`: body bytes were sent, so the request may have arrived.
    `permanent`: trying again cannot help (a certificate that is not trusted). `errno` is EMFILE or ENFILE where this
    machine had no open file left for a connection, else None."""

    def __init__(
        self,
        message: str,
        *,
        call: str | None = None,
        sent: bool = False,
        permanent: bool = False,
        errno: int | None = None,
    ) -> None:
        super().__init__(message, call=call)
        self.sent = sent
        self.permanent = permanent
        self.errno = errno


class TimedOutError(EMError, TimeoutError):
    """No progress for too long. `phase`: connect, send, answer, receive or pod; `sent` as in UnreachableError."""

    def __init__(self, message: str, *, call: str | None = None, phase: str = "answer", sent: bool = False) -> None:
        super().__init__(message, call=call)
        self.phase = phase
        self.sent = sent


class ProtocolError(EMError):
    """The response is not of the EM API: a redirect, HTML with 200, broken JSON, a compressed or endless body."""


class IntegrityError(EMError):
    """Size, checksum or content tag differ from the expected ones; `expected` and `actual` are both values."""

    def __init__(
        self, message: str, *, call: str | None = None, expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(message, call=call)
        self.expected = expected
        self.actual = actual


class UnsafePathError(EMError, ValueError):
    """A name that must not become a local path. `name` is that name, `reason` why it is refused."""

    def __init__(self, message: str, *, name: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.reason = reason


class SourceChangedError(EMError):
    """A local file changed (size, times or inode) between planning and its last byte; the sent copy is invalid."""


class TargetChangedError(EMError):
    """A file that a sync or a removal was to replace or delete has changed since it was compared, and was kept.

    Repeating the sync, or the removal, compares it anew.
    """


class DeletionRefusedError(EMError):
    """A sync with deletions was not begun: its source is empty although the target holds files, or the user declined.
    Nothing was transferred or deleted. `side` is where files would have been deleted ("local" or "remote"),
    `files` and `bytes` how much."""

    def __init__(self, message: str, *, side: str, files: int, bytes: int) -> None:  # noqa: A002 - the public name
        super().__init__(message)
        self.side = side
        self.files = files
        self.bytes = bytes


class PodFailedError(EMError):
    """The pod can never start (ImagePullBackOff ...) or ended with a non-zero exit. `pod` is the last PodStatus."""

    def __init__(self, message: str, *, pod: PodStatus) -> None:
        super().__init__(message, detail=pod.message)
        self.pod = pod
        self.reason = pod.reason


class UnknownOutcomeError(EMError):
    """It is unknown whether a request took effect: it was sent, no response came, and repeating it could do harm. Or a
    run of a pod cannot be distinguished from the run before it. `cause` is the error behind that."""

    def __init__(self, message: str, *, call: str | None = None, cause: EMError | None = None) -> None:
        super().__init__(message, call=call)
        self.cause = cause


class PodVanishedError(PodFailedError, UnknownOutcomeError):
    """The run was seen, then the EM showed no pod for a minute, or that of another run. `pod` is its last status."""

    def __init__(self, message: str, *, pod: PodStatus) -> None:
        EMError.__init__(self, message, detail=pod.message)
        self.pod = pod
        self.reason = pod.reason
        self.cause = None


def is_out_of_files(error: BaseException | None) -> bool:
    """Whether `error` says that this process (EMFILE) or this machine (ENFILE) may open no more files or sockets."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
