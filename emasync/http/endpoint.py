"""The EM's address as the user gives it: what is refused as a base URL, and why its certificate was refused.

Does no I/O: no name is looked up. Imports yarl and the standard library only.
"""

from __future__ import annotations

import ipaddress
import ssl

from yarl import URL

_PRIVATE_NAMES = (".localhost", ".local", ".lan", ".internal", ".home.arpa", ".test")
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


def check_base_url(text: str) -> URL:
    """The base URL with one trailing slash. ValueError for what cannot be one, or for credentials inside it."""
    try:
        url = URL(text.strip())
    except (ValueError, TypeError):
        raise ValueError("the base URL cannot be read; it looks like https://em.example.com/") from None
    if url.user is not None or url.password is not None:
        raise ValueError(
            "the base URL must not hold a user name or password: they would end up in logs; pass them apart"
        )
    if url.scheme not in ("http", "https") or not url.host:
        shown = "" if "@" in text else f" {text!r}"  # "client1:secret@host" is a URL of scheme client1
        raise ValueError(f"the base URL{shown} must begin with http:// or https:// and name a host")
    if url.raw_query_string or url.raw_fragment:
        raise ValueError(f"the base URL of {url.host} must not have a query or fragment")
    return url.with_path(f"{url.raw_path.removesuffix('/')}/", encoded=True)


def is_exposed(url: URL) -> bool:
    """Whether log-in and files would go unencrypted to a host that is not on this machine or a private network. No
    name is looked up: one without a dot, or with a private ending, counts as private."""
    host = (url.host or "").rstrip(".").lower()
    if url.scheme != "http":
        return False
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." in host and not host.endswith(_PRIVATE_NAMES)
    return not (address.is_private or address.is_loopback or address.is_link_local)


def certificate_advice(error: Exception) -> str:
    """Why the certificate is not trusted, and what to do about it."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error})"
    message = error.verify_message.rstrip(".")
    advice = _ADVICE.get(error.verify_code, "ask whoever runs the EM")
    return f"the certificate is not trusted ({message}): {advice}"
