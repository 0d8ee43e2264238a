"""The README's section of figures, which is only ever written from a results file.

Owns: the two markers and what stands between them. Imports nothing of the benchmarks. Pure.
"""

from __future__ import annotations

BEGIN = "<!-- benchmarks:begin -->"
END = "<!-- benchmarks:end -->"


def replaced(text: str, section: str) -> str:
    """`text` with `section` between its markers. LookupError unless it has each of them once, in this order."""
    for marker in (BEGIN, END):
        if (times := text.count(marker)) != 1:
            raise LookupError(f"the README must have one line {marker}, it has {times}")
    before, _, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not closed:
        raise LookupError(f"the README has {END} before {BEGIN}")
    return f"{before}{BEGIN}\n{section.strip()}\n{END}{after}"
