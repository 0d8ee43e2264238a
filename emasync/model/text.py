"""`safe`: makes text of a server harmless for a terminal or a log.

Everything that a server sends passes through it before a person reads it. Must not import anything of emasync.
"""

from __future__ import annotations

import unicodedata

# Cc: C0 and C1 controls. Cf: bidi overrides, zero-width marks, soft hyphen, tags. Cs: lone surrogates.
# Zl, Zp: separators that start a new line in some terminals. Co, Cn: private use and unassigned.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})


def safe(text: object, *, limit: int = 500) -> str:
    """`text` on one line, every character that does not simply print written as ``\\xNN`` or ``\\uNNNN``.

    At most `limit` characters come back, the last one an ellipsis where something was cut. The backslash itself is
    left alone: the result is for reading, not for parsing.
    """
    raw = text if isinstance(text, str) else str(text)
    out: list[str] = []
    for char in raw[:limit]:
        if unicodedata.category(char) in _HIDDEN:
            code = ord(char)
            out.append(f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
        else:
            out.append(char)
    shown = "".join(out)
    return shown if len(shown) <= limit and len(raw) <= limit else shown[: limit - 1] + "…"
