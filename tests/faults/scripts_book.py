"""All scripts, and every case of a script and a call that makes sense.

Owns: the book. May import the scripts.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.faults.raw_server import TARGETS, Target
from tests.faults.scripts import Script
from tests.faults.scripts_breaks import BREAKS
from tests.faults.scripts_data import DATA
from tests.faults.scripts_junk import JUNK_FRAMES
from tests.faults.scripts_statuses import STATUSES

SCRIPTS: Final[tuple[Script, ...]] = (*BREAKS, *STATUSES, *JUNK_FRAMES, *DATA)

CASES: Final[tuple[tuple[Script, Target], ...]] = tuple(
    (script, target) for script in SCRIPTS for target in TARGETS if target in script.ends
)

TWICE: Final = [name for name, count in Counter(script.name for script in SCRIPTS).items() if count > 1]
"""Names that two scripts share; there are none, which a test sees to."""
