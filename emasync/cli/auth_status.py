"""``emasync auth status``: who, where, by which origin, and whether the log-in works.

Owns: its text. May import this room.
"""

from __future__ import annotations

from functools import partial

import anyio
import click

from emasync.cli.direct import direct
from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.origins import ResolvedSettings, check_complete, password, resolve_settings
from emasync.cli.out import Out
from emasync.http import check_base_url
from emasync.model import Token


@click.command("status")
@with_em
def auth_status(asked: GlobalOptions) -> None:
    """Say who you are, on which EM, where each of that comes from, and whether the log-in works (exit code 4: no).

    \b
    emasync auth status
    emasync auth status --profile lab --json
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)
    finish(out, partial(_status, asked, out))


def _status(asked: GlobalOptions, out: Out) -> ExitCode:
    origins = resolve_settings(asked)
    if origins.get("url"):
        check_base_url(origins.get("url") or "")  # one that holds a password must not be shown
    for name in ("url", "username", "volume"):
        value = origins.values[name]
        text = f"{name:9} {value.text or '-'}  ({value.origin})"
        out.result("setting", text, name=name, value=value.text, origin=value.origin)
    source = origins.password_from or "not set"
    out.result("setting", f"{'password':9} from {source}", name="password", value=None, origin=source)
    check_complete(origins)
    token = anyio.run(_log_in, asked, origins, password(origins))
    life = "does not say how long" if token.lifetime_s is None else f"{token.lifetime_s:.0f} s"
    renewed = "renewed without the password" if token.refresh else "renewed by a new log-in"
    text = f"{'log-in':9} works; a token lives {life}, and is {renewed}"
    out.result("login", text, works=True, token_life_s=token.lifetime_s, refresh=token.refresh is not None)
    return ExitCode.DONE


async def _log_in(asked: GlobalOptions, origins: ResolvedSettings, secret: str) -> Token:
    async with direct(asked, origins, password=secret) as em:
        return await em.token()
