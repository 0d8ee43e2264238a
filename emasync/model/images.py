"""`Image`: a Docker image that the user may run.

Owns: its name. Imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """`name` as the server lists it, the user's prefix included. `raw` is the element as it came (the EM does not
    document its shape: a plain string arrives as ``{"name": ...}``).

    >>> [image.name for image in await em.images.list()]
    ['client1-echo']
    """

    name: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
