"""Local files: safe names, atomic writing, reading and hashing, in threads of this package. POSIX only.

Knows nothing of HTTP, retries or plans. Must not import http, api or transfer.
"""

from emasync.disk.atomic_file import Unchanged, WriteTarget, remove_file, sweep
from emasync.disk.directory import RootGuard, is_there
from emasync.disk.executor import FileExecutor
from emasync.disk.fingerprint import Fingerprint
from emasync.disk.reader import (
    Digest,
    ExpectedFile,
    FileReader,
    SmallFile,
    digest_file,
    fingerprint,
    open_reader,
    read_small_files,
)
from emasync.disk.safe_paths import TEMP_PREFIX, case_fold_key, local_parts, name_problem
from emasync.disk.writer import SMALL, BufferedFileWriter, FileWriter, Saved, exists, open_writer

__all__ = [
    "Digest",
    "FileExecutor",
    "FileWriter",
    "Fingerprint",
    "RootGuard",
    "SMALL",
    "Saved",
    "BufferedFileWriter",
    "SmallFile",
    "ExpectedFile",
    "FileReader",
    "TEMP_PREFIX",
    "Unchanged",
    "WriteTarget",
    "case_fold_key",
    "digest_file",
    "exists",
    "fingerprint",
    "is_there",
    "local_parts",
    "name_problem",
    "open_writer",
    "read_small_files",
    "open_reader",
    "remove_file",
    "sweep",
]
