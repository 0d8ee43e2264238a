"""The names others build on, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import emasync

CONTRACT = """
    Client Node PodPhase PodStatus Settings Transfer TransferReport Outcome
    EMError BusyError AuthError NotFoundError ForbiddenError BadRequestError BuildFailedError ImageLoadError
    TooLargeError ServerError UnreachableError TimedOutError ProtocolError IntegrityError UnsafePathError
    PodFailedError UnknownOutcomeError
"""
EXTRAS = """
    Direction FileEntry FileTree Image Limits NodeStatus OutcomeState RemotePath RetryPolicy SourceChangedError
    SyncDecision
    Timeouts Verified __version__
"""


def test_the_public_names_are_these_and_no_others() -> None:
    # A name that goes breaks somebody's program; one that comes must be kept for ever.
    assert set(emasync.__all__) == {*CONTRACT.split(), *EXTRAS.split()}


def test_the_list_of_names_is_sorted_and_names_nothing_twice() -> None:
    assert emasync.__all__ == sorted(set(emasync.__all__))


def test_every_public_name_is_there() -> None:
    assert [name for name in emasync.__all__ if not hasattr(emasync, name)] == []


def test_importing_emasync_loads_neither_the_command_line_nor_a_server() -> None:
    # Sabotage: `import rich` in emasync/client.py.
    program = (
        "import sys, emasync; "
        "heavy = [name for name in ('rich', 'click', 'aiohttp.web', 'emasync.simulator', 'emasync.cli') "
        "if name in sys.modules]; sys.exit(', '.join(heavy) or None)"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
