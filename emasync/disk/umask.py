"""The permissions that a new file of this process gets.

Owns: learning the umask without changing it, which no call of the system does. Imports nothing of emasync.
"""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path


def new_file_mode() -> int:
    """The mode that a new file of this process gets: 0666 less the umask, which is read without changing it."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return 0o666 & ~int(line.split()[1], 8)
    except OSError:
        pass  # no /proc: ask for a file and see. os.umask() would change it for other threads for a moment.
    with tempfile.TemporaryDirectory(prefix="emasync-") as folder:
        probe = Path(folder) / "probe"
        probe.touch(mode=0o666)
        return stat.S_IMODE(probe.stat().st_mode)
