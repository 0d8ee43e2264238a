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

    >>> try:
    ...     await em.files.read("missing.txt")
    ... except EMError as error:
    ...     error.call, error.status
    ('GET em/files/downlink', 404)
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
    """423, 429 or 503. `waited_s`: how long emasync waited; `retry_after_s`: the wait that the server asks for.

    >>> sim.faults.add(Fault("busy_before", times=None))
    >>> settings = Settings(retry=RetryPolicy(busy_timeout_s=0.05))
    >>> async with Client(sim.url, username="client1", password="secret", settings=settings) as client:
    ...     try:
    ...         await client.files.list()
    ...     except BusyError as error:
    ...         error.waited_s >= 0.05
    True
    """

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
    """The user name or password is wrong, or the server refuses every fresh token.

    >>> async with Client(sim.url, username="client1", password="wrong") as client:
    ...     await client.files.list()
    Traceback (most recent call last):
    AuthError: ...
    """


class NotFoundError(EMError, FileNotFoundError):
    """404: no such file, image or pod, or no such endpoint in this generation of server.

    >>> try:
    ...     await em.files.read("missing.txt")
    ... except FileNotFoundError as error:
    ...     isinstance(error, NotFoundError)
    True
    """


class ForbiddenError(EMError, PermissionError):
    """403: a path outside the user's volume, or a right the user does not have.

    >>> try:
    ...     await em.files.read("../secret")
    ... except PermissionError as error:
    ...     isinstance(error, ForbiddenError)
    True
    """


class BadRequestError(EMError):
    """Another 4xx. `code` is the EM's own (``NO_FILES``); `fields`: validation errors by field.

    >>> async with em.files.stream(" ") as chunks:
    ...     pass
    Traceback (most recent call last):
    BadRequestError: ...
    """

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
        self.log_tail: tuple[str, ...] = tuple(log_tail)
        self.fields: dict[str, Sequence[str]] = dict(fields or {})


class BuildFailedError(BadRequestError):
    """The image did not build; `log_tail` holds the last lines the builder printed (at most 100).

    >>> size = (sim.volume("client1") / "Dockerfile").write_text("RUN true")
    >>> try:
    ...     await em.images.build("hello", dockerfile="Dockerfile", context=".")
    ... except BuildFailedError as error:
    ...     error.code, error.log_tail[-1]
    ('BUILD_FAILED', 'Error: no build stage in current context')
    """


class ImageLoadError(BadRequestError):
    """The image tar could not be loaded.

    >>> try:
    ...     await em.images.load("client1-hello", tarfile="results/a.txt")
    ... except ImageLoadError as error:
    ...     error.code
    'IMAGE_LOAD_FAILED'
    """


class TooLargeError(BadRequestError):
    """One uplink call carried more than the server takes (500 MB in the seed generation, 2 GB later).

    >>> size = Path("large").write_bytes(bytes(2_000))
    >>> async with Simulator({"client1": "secret"}, uplink_limit=1_000) as sim:
    ...     async with Client(sim.url, username="client1", password="secret") as em:
    ...         report = await em.uplink("large")
    >>> type(report.failed[0].error)
    <class 'emasync.errors.TooLargeError'>
    """


class ServerError(EMError):
    """5xx other than 503: the server failed; the request may have taken effect.

    >>> sim.faults.add(Fault("error_500", times=None))
    >>> await em.pods.status()
    Traceback (most recent call last):
    ServerError: ...
    """


class UnreachableError(EMError, ConnectionError):
    """No connection, or it broke before the response. `sent`: body bytes were sent, so the request may have arrived.
    `permanent`: trying again cannot help (a certificate that is not trusted). `errno` is EMFILE or ENFILE where this
    machine had no open file left for a connection, else None.

    >>> settings = Settings(retry=RetryPolicy(retries=0))
    >>> async with Client("http://127.0.0.1:9/", username="client1", password="secret", settings=settings) as client:
    ...     await client.files.list()
    Traceback (most recent call last):
    UnreachableError: ...
    """

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
    """No progress for too long. `phase`: connect, send, answer, receive or pod; `sent` as in UnreachableError.

    >>> try:
    ...     await em.pods.wait(timeout=0.01)  # there is no pod
    ... except TimeoutError as error:
    ...     isinstance(error, TimedOutError), error.phase
    (True, 'pod')
    """

    def __init__(self, message: str, *, call: str | None = None, phase: str = "answer", sent: bool = False) -> None:
        super().__init__(message, call=call)
        self.phase = phase
        self.sent = sent


class ProtocolError(EMError):
    """The response is not of the EM API: a redirect, HTML with 200, broken JSON, a compressed or endless body.

    >>> sim.faults.add(Fault("html_200", times=None))
    >>> await em.pods.status()
    Traceback (most recent call last):
    ProtocolError: ...
    """


class IntegrityError(EMError):
    """Size, checksum or content tag differ from the expected ones; `expected` and `actual` are both values.

    >>> sim.faults.add(Fault("wrong_hash", times=None))
    >>> await em.files.read("results/a.txt")
    Traceback (most recent call last):
    IntegrityError: ...
    """

    def __init__(
        self, message: str, *, call: str | None = None, expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(message, call=call)
        self.expected = expected
        self.actual = actual


class UnsafePathError(EMError, ValueError):
    """A name that must not become a local path. `name` is that name, `reason` why it is refused.

    >>> size = (sim.volume("client1") / "nul.txt").write_text("no such name on Windows")
    >>> report = await em.downlink("nul.txt")
    >>> type(report.failed[0].error)
    <class 'emasync.errors.UnsafePathError'>
    """

    def __init__(self, message: str, *, name: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.reason = reason


class SourceChangedError(EMError):
    """A local file changed (size, times or inode) between planning and its last byte; the sent copy is invalid.

    >>> size = Path("a.txt").write_text("hello")
    >>> report = await em.uplink("a.txt", on_event=lambda event: Path("a.txt").write_text("hello again"))
    >>> type(report.failed[0].error)
    <class 'emasync.errors.SourceChangedError'>
    """


class TargetChangedError(EMError):
    """A file that a sync or a removal was to replace or delete has changed since it was compared, and was kept.

    Repeating the sync, or the removal, compares it anew.

    >>> async def confirm(summary: SyncSummary) -> bool:  # while somebody else changes a file that would be deleted
    ...     return (sim.volume("client1") / "results/b.txt").write_text("changed") > 0
    >>> Path("local").mkdir()
    >>> size = Path("local/a.txt").write_text("hello\\n")
    >>> report = await em.sync_up("local", "results", delete=True, confirm=confirm)
    >>> type(report.failed[0].error)
    <class 'emasync.errors.TargetChangedError'>
    """


class DeletionRefusedError(EMError):
    """A sync with deletions was not begun: its source is empty although the target holds files, or the user declined.
    Nothing was transferred or deleted. `side` is where files would have been deleted ("local" or "remote"),
    `files` and `bytes` how much.

    >>> Path("empty").mkdir()
    >>> try:
    ...     await em.sync_up("empty", "results", delete=True)
    ... except DeletionRefusedError as error:
    ...     error.side, error.files, error.bytes
    ('remote', 2, 18)
    """

    def __init__(self, message: str, *, side: str, files: int, bytes: int) -> None:  # noqa: A002 - the public name
        super().__init__(message)
        self.side = side
        self.files = files
        self.bytes = bytes


class PodFailedError(EMError):
    """The pod can never start (ImagePullBackOff ...) or ended with a non-zero exit. `pod` is the last PodStatus.

    >>> run = await em.pods.run("no-such-image")
    >>> try:
    ...     await em.pods.wait(run)
    ... except PodFailedError as error:
    ...     error.reason
    'ImagePullBackOff'
    """

    def __init__(self, message: str, *, pod: PodStatus) -> None:
        super().__init__(message, detail=pod.message)
        self.pod = pod
        self.reason: str | None = pod.reason


class UnknownOutcomeError(EMError):
    """It is unknown whether a request took effect: it was sent, no response came, and repeating it could do harm. Or a
    run of a pod cannot be distinguished from the run before it. `cause` is the error behind that.

    >>> sim.faults.add(Fault("commit_then_drop", endpoint="em/pod/run"))
    >>> await em.pods.run("echo")
    Traceback (most recent call last):
    UnknownOutcomeError: ...
    """

    def __init__(self, message: str, *, call: str | None = None, cause: EMError | None = None) -> None:
        super().__init__(message, call=call)
        self.cause = cause


class PodVanishedError(PodFailedError, UnknownOutcomeError):
    """The run was seen, then the EM showed no pod for a minute, or that of another run. `pod` is its last status.

    >>> error = PodVanishedError("the pod of the run is gone", pod=PodStatus(phase=PodPhase.NONE))
    >>> isinstance(error, PodFailedError), isinstance(error, UnknownOutcomeError)
    (True, True)
    """

    def __init__(self, message: str, *, pod: PodStatus) -> None:
        EMError.__init__(self, message, detail=pod.message)
        self.pod = pod
        self.reason: str | None = pod.reason
        self.cause: EMError | None = None


def is_out_of_files(error: BaseException | None) -> bool:
    """Whether `error` says that this process (EMFILE) or this machine (ENFILE) may open no more files or sockets."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
