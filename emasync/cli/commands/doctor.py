"""``emasync doctor``: print the checks of `doctor_checks` as a table with advice."""

from __future__ import annotations

from functools import partial

import anyio
import click

from emasync.cli.doctor_checks import Finding, Level, Tell, examine
from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.options import GlobalOptions, option, with_em
from emasync.cli.output import Out
from emasync.cli.runner import finish
from emasync.cli.settings import ResolvedSettings, check_complete, password, resolve_settings
from emasync.cli.unretried_client import direct
from emasync.config import Settings
from emasync.errors import EMError
from emasync.http import check_base_url
from emasync.wire import requests

_MARKS = {Level.OK: "ok  ", Level.WARN: "warn", Level.FAIL: "FAIL", Level.NONE: "-   "}


@click.command("doctor")
@option("--learn", is_flag=True, help="find out how many calls at once the EM takes")
@with_em
def doctor(asked: GlobalOptions, *, learn: bool) -> None:
    """Check the settings, the way to the EM, the log-in, the clocks, and how this EM behaves; with advice.

    Changes nothing on the EM. Makes about ten small calls, reads one small file, and with --learn some thirty calls
    more. The exit code is 0 unless a row fails.

    \b
    emasync doctor
    emasync doctor --learn --json | jq -r 'select(.level == "warn") | .advice'
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)
    finish(out, partial(_doctor, asked, out, learn=learn))


def _doctor(asked: GlobalOptions, out: Out, *, learn: bool) -> ExitCode:
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        out.result("check", _row(finding), **finding.fields)

    try:
        origins = resolve_settings(asked)
        check_complete(origins)
        check_base_url(origins.get("url") or "")  # one that holds a password must not be shown
        secret = password(origins)
    except (OSError, ValueError, LookupError) as error:
        advice = "`emasync auth login` asks for what is missing"
        tell(Finding(name="settings", level=Level.FAIL, text=str(error), advice=advice))
        return exit_code(error)
    where = f"{origins.get('username')} at {origins.get('url')} ({origins.values['url'].origin})"
    tell(Finding(name="settings", level=Level.OK, text=where))
    failure = anyio.run(partial(_examine, asked, origins, secret, tell, learn=learn))
    if failure is not None:
        return exit_code(failure)
    warned = sum(one.level is Level.WARN for one in found)
    out.say("all is well" if not warned else f"nothing fails; {warned} to look at")
    return ExitCode.DONE


async def _examine(
    asked: GlobalOptions, origins: ResolvedSettings, secret: str, tell: Tell, *, learn: bool
) -> EMError | None:
    volume = requests.Volume(name=origins.get("volume"), fields=Settings().volume_fields)
    async with direct(asked, origins, password=secret) as em:
        return await examine(em, tell, insecure=asked.insecure, volume=volume, learn=learn)


def _row(finding: Finding) -> list[str]:
    advice = [f"{'':19}> {finding.advice}"] if finding.advice else []
    return [f"{_MARKS[finding.level]}  {finding.name:11}  {finding.text}", *advice]
