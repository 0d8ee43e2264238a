"""A simulated EM: the whole EM API on a real socket of this machine, with pods that run coroutines and with faults.

Needs no network but 127.0.0.1. Must not import anything of emasync but wire, model and errors.
"""

from emasync.simulator.breakpoints import Breakpoint, Stage
from emasync.simulator.clock import Clock, RealClock, VirtualClock
from emasync.simulator.config import LoggedRequest
from emasync.simulator.faults import Fault, FaultKind, FaultList
from emasync.simulator.pods import Behaviour, PodContext
from emasync.simulator.simulator import Simulator
from emasync.simulator.state import Generation

__all__ = [
    "Behaviour",
    "Breakpoint",
    "Clock",
    "Fault",
    "FaultKind",
    "FaultList",
    "Generation",
    "LoggedRequest",
    "PodContext",
    "RealClock",
    "Simulator",
    "Stage",
    "VirtualClock",
]
