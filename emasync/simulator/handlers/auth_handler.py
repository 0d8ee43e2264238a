"""auth/ and auth/refresh: a token for a password or for a refresh token. Neither needs the EM's lock.

A module of its own though short: one for each group of endpoints.
"""

from __future__ import annotations

from aiohttp import web

from emasync.simulator.exchange import Exchange
from emasync.simulator.request_fields import read_fields, required_fields
from emasync.simulator.responses import json_response, validation_error


async def handle_log_in(ex: Exchange) -> web.StreamResponse:
    """POST auth/."""
    state = ex.context.state
    user = state.log_in(*required_fields(await read_fields(ex), "username", "password"))
    if user is None:
        return json_response({"detail": "No active account found with the given credentials"}, status=401)
    ex.entry.user, now = user, ex.clock.now()
    tokens = {"refresh": state.tokens.issue(user, "refresh", now=now)} if ex.config.refresh_tokens else {}
    return json_response(tokens | {"access": state.tokens.issue(user, "access", now=now)})


async def handle_refresh(ex: Exchange) -> web.StreamResponse:
    """POST auth/refresh."""
    tokens = ex.context.state.tokens
    token = (await read_fields(ex)).get("refresh")
    if not isinstance(token, str) or not token:
        raise validation_error("refresh", "This field is required.")
    now = ex.clock.now()
    user = tokens.user_of(token, "refresh", now=now)
    if user is None:
        return json_response({"detail": "Token is invalid or expired", "code": "token_not_valid"}, status=401)
    ex.entry.user = user
    return json_response({"access": tokens.issue(user, "access", now=now)})
