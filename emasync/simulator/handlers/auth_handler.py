"""auth/ and auth/refresh: passwords to tokens.

Owns: what a log-in checks and answers. May import exchange, answers, world. The EM's lock never concerns these.
"""

from __future__ import annotations

from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.responses import invalid, reply
from emasync.simulator.state import SimulatorState


async def log_in(ex: Exchange, world: SimulatorState, *, with_refresh: bool) -> web.StreamResponse:
    """POST auth/."""
    fields = await ex.read_fields()
    for name in ("username", "password"):
        if not fields.get(name):
            raise invalid(name, "This field is required.")
    user = world.log_in(fields["username"], fields["password"])
    if user is None:
        return reply({"detail": "No active account found with the given credentials"}, status=401)
    ex.entry.user = user
    now = ex.clock.now()
    answer = {"refresh": world.tokens.issue(user, "refresh", now=now)} if with_refresh else {}
    return reply(answer | {"access": world.tokens.issue(user, "access", now=now)})


async def refresh(ex: Exchange, world: SimulatorState) -> web.StreamResponse:
    """POST auth/refresh."""
    fields = await ex.read_fields()
    token = fields.get("refresh")
    if not isinstance(token, str) or not token:
        raise invalid("refresh", "This field is required.")
    now = ex.clock.now()
    user = world.tokens.user_of(token, "refresh", now=now)
    if user is None:
        return reply({"detail": "Token is invalid or expired", "code": "token_not_valid"}, status=401)
    ex.entry.user = user
    return reply({"access": world.tokens.issue(user, "access", now=now)})
