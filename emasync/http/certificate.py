"""A certificate that was refused, in words that say what to do.

Owns: that advice. Imports the standard library only. Knows nothing of connections.
"""

from __future__ import annotations

import ssl

_UNKNOWN = (
    "if this EM has an authority of its own, trust that: --ca FILE.pem, or in Python "
    "ssl_context=ssl.create_default_context(cafile='FILE.pem')"
)
_ADVICE = {  # by the codes of OpenSSL (X509_V_ERR_...)
    9: "it is not valid yet: check the clock of this machine",
    10: "whoever runs the EM must renew it; check the clock of this machine, too",
    18: _UNKNOWN,
    19: _UNKNOWN,
    20: _UNKNOWN,
    21: _UNKNOWN,
    62: "put the name that the certificate was made for into the base URL",
    64: "put the name that the certificate was made for into the base URL",
}


def refused_because(error: Exception) -> str:
    """Why the certificate is not trusted, and what to do about it."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error})"
    message = error.verify_message.rstrip(".")
    advice = _ADVICE.get(error.verify_code, "ask whoever runs the EM")
    return f"the certificate is not trusted ({message}): {advice}"
