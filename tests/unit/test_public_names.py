"""The names others build on, and what importing them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import emasync

CONTRACT = """
    Client Node PodPhase PodStatus Settings Transfer TransferReport Outcome
    EMError BusyError AuthError NotFoundError ForbiddenError BadRequestError BuildFailedError ImageLoadError
    TooLargeError ServerError UnreachableError TimedOutError ProtocolError IntegrityError UnsafePathError
    PodFailedError UnknownOutcomeError DeletionRefusedError Glob
"""
EXTRAS = """
    Direction FileEntry FileTree Image Limits NodeStatus OutcomeState PodRun PodVanishedError RemotePath RetryPolicy
    SourceChangedError TargetChangedError OutcomeAction SyncDecision SyncSummary
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


def test_every_name_comes_from_where_the_type_checker_is_told() -> None:
    # Sabotage: a wrong module in `_NAMES` of emasync/__init__.py, or a name in only one of the two lists.
    source = ast.parse(Path(emasync.__file__).read_text(encoding="utf-8"))
    told = {
        alias.name: line.module
        for block in source.body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }

    assert told == emasync._MODULE_OF_NAME
    assert set(emasync.__all__) == {*told, "__version__"}


def test_importing_emasync_loads_nothing_until_a_name_is_used() -> None:
    # Sabotage: import Client at the top of emasync/__init__.py.
    program = (
        "import sys, emasync; "
        "before = [name for name in ('aiohttp', 'anyio', 'emasync.model', 'platformdirs') if name in sys.modules]; "
        "from emasync import BusyError, Client; "
        "assert Client is sys.modules['emasync.client'].Client and 'BusyError' in vars(emasync); "
        "sys.exit(', '.join(before) or None)"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_dir_lists_the_public_names_and_other_names_are_attribute_errors() -> None:
    assert set(emasync.__all__) <= set(dir(emasync))
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        _ = emasync.Clint  # type: ignore[attr-defined]
