"""An EM in a box: the whole EM API on a real socket, with pods that do something and faults on demand.

Stands beside the client and may import wire, model and errors only; needs no network but 127.0.0.1.

    async with Simulator(users={"client1": "secret"}) as sim:
        ...  # sim.url, sim.volume("client1"), sim.requests
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
    "Clock",
    "Fault",
    "FaultKind",
    "FaultList",
    "Breakpoint",
    "Generation",
    "LoggedRequest",
    "PodContext",
    "RealClock",
    "Simulator",
    "Stage",
    "VirtualClock",
]
