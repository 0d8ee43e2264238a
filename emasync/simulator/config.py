"""How a simulated EM behaves, as one value, and the entries of its request log.

Must not import anything of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from emasync.simulator.state import Generation

DownlinkForm = Literal["json", "raw"]
Hold = float | Callable[[int], float]

ENVELOPE = ("filename", "content", "size", "hash")
"""The keys of a downlink's JSON form, in the order of the real server."""

_UPLINK_BYTES: Mapping[Generation, int] = {"seed": 500_000_000, "pods": 2_000_000_000, "pvc": 2_000_000_000}


class SimulatorKeywords(TypedDict, total=False):
    """The fields of `SimulatorConfig` as keyword arguments of `Simulator`, for type checkers only."""

    generation: Generation
    exclusive: bool
    hold: Hold
    latency: float
    bandwidth: float | None
    token_lifetime: float
    refresh_lifetime: float
    refresh_tokens: bool
    uplink_limit: int | None
    uplink_files: int
    pod_start: float
    pod_run: float
    pod_times: bool
    list_lag: float
    downlink_form: DownlinkForm | None
    envelope: tuple[str, ...]
    buffering: bool
    prefix: str
    keep_alive: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """How the EM behaves; `Simulator` documents each field. Bytes and seconds. ValueError for a senseless value."""

    generation: Generation = "seed"
    exclusive: bool = False
    hold: Hold = 0.0
    latency: float = 0.0
    bandwidth: float | None = None
    token_lifetime: float = 300.0
    refresh_lifetime: float = 86_400.0
    refresh_tokens: bool = True
    uplink_limit: int | None = None
    uplink_files: int = 100
    pod_start: float = 0.2
    pod_run: float = 0.5
    pod_times: bool = True
    list_lag: float = 0.0
    downlink_form: DownlinkForm | None = None
    envelope: tuple[str, ...] = ENVELOPE
    buffering: bool = False
    prefix: str = ""
    keep_alive: float = 75.0

    def __post_init__(self) -> None:
        if self.generation not in _UPLINK_BYTES:
            raise ValueError(f"generation is one of {', '.join(_UPLINK_BYTES)}, not {self.generation!r}")
        if self.downlink_form not in (None, "json", "raw"):
            raise ValueError(f"downlink_form is json, raw or None, not {self.downlink_form!r}")
        if "content" not in self.envelope or not set(self.envelope) <= set(ENVELOPE):
            raise ValueError(f"envelope holds content and some of {', '.join(ENVELOPE)}, not {self.envelope!r}")
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise ValueError(f"bandwidth is bytes a second, or None for no limit, not {self.bandwidth!r}")

    @property
    def after_seed(self) -> bool:
        """Whether the generation is one of those after the seed."""
        return self.generation != "seed"

    @property
    def raw_downlinks(self) -> bool:
        """Whether a downlink's body is the file's bytes instead of a JSON envelope."""
        return self.after_seed if self.downlink_form is None else self.downlink_form == "raw"

    @property
    def uplink_bytes(self) -> int:
        """How many bytes of files one uplink may carry."""
        return _UPLINK_BYTES[self.generation] if self.uplink_limit is None else self.uplink_limit

    @property
    def base_path(self) -> str:
        """The path in front of all endpoints, without a slash at its end."""
        return self.prefix.rstrip("/")

    def hold_s(self, size: int) -> float:
        """How long a call that moved `size` bytes of files keeps the EM busy."""
        return self.hold(size) if callable(self.hold) else self.hold


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """One request: logged when its headers have arrived, completed when it ends.

    `at` and `seconds` are on the simulator's clock; `path` is as in the API (``em/files/list``, ``auth/``). `status` 0:
    no response (yet, or never). `bytes_in` and `bytes_out` count body bytes; of a refused body, those that were read
    from the socket. `peer` is the client's host:port. `detail` holds the request's fields by their names in the API
    (``filepath``, ``dest_path``, ``files``, ``image`` ...), without passwords and tokens.
    """

    at: float
    method: str
    path: str
    query: dict[str, str]
    peer: str
    user: str | None = None
    status: int = 0
    fault: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    detail: dict[str, Any] = field(default_factory=dict)
