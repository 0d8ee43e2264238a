"""Answers that a server sent too much, and that would be taken for the answer to a later request.

Owns: telling them by the file name they carry. May import connector, wire, model and errors. Does no I/O.
"""

from __future__ import annotations

from emasync.errors import UnreachableError
from emasync.http.connector import DownlinkConnector
from emasync.model import safe
from emasync.wire.json_envelope import ResponseMetadata
from emasync.wire.requests import ApiRequest


class StaleAnswers:
    """What one server's answers to downlinks say of their files' names.

    HTTP has nothing that ties an answer to its request but its place on the connection. An answer on a connection that
    was used before may be one too many to the request before; that it is another file's can be seen where it names the
    file. It is then asked for again, and no connection is used twice any more, unless the answer on a fresh connection
    claims the same size and SHA-256: then this server names files in its own way, and names are not looked at.
    """

    def __init__(self) -> None:
        self._names_tell = True
        self._doubted: dict[str, ResponseMetadata] = {}  # by path: at most one for each downlink under way

    def check(
        self, call: ApiRequest, facts: ResponseMetadata, *, reused: bool, connector: DownlinkConnector | None
    ) -> None:
        """UnreachableError if the answer to `call` is that of an earlier request; it is to be sent again."""
        path = call.subject or ""
        doubted = self._doubted.pop(path, None) if not reused else None
        named = facts.filename is None or facts.filename.rpartition("/")[2] == path.rpartition("/")[2]
        if connector is None or named or not self._names_tell:
            return
        if reused:
            connector.distrust()
            self._doubted[path] = facts
            raise UnreachableError(
                f"{call} ({safe(path)}): the answer names another file; it is asked for again on a fresh connection",
                call=str(call),
                sent=True,
            )
        self._names_tell = False
        if doubted is not None and doubted == facts and facts.sha256 is not None:
            connector.trust()
