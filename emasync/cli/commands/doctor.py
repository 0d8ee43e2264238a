"""``emasync doctor``: print the checks of `doctor_checks` as a table with advice."""

from __future__ import annotations

from functools import partial

import anyio
import click

from emasync.cli.doctor_checks import Finding, Level, Report, run_checks
from emasync.cli.exit_codes import ExitCode, exit_code
from emasync.cli.options import GlobalOptions, option, with_global_options
from emasync.cli.output import Output
from emasync.cli.runner import run_local
from emasync.cli.settings import ResolvedSettings, check_complete, read_password, resolve_settings
from emasync.cli.unretried_client import unretried_client
from emasync.config import Settings
from emasync.errors import EMError
from emasync.http import check_base_url
from emasync.wire import requests

_MARKS = {Level.OK: "ok  ", Level.WARN: "warn", Level.FAIL: "FAIL", Level.NONE: "-   "}


@click.command("doctor")
@option("--learn", is_flag=True, help="find out how many calls at once the EM takes")
@with_global_options
def doctor(options: GlobalOptions, *, learn: bool) -> None:
    """Check the settings, the way to the EM, the log-in, the clocks, and how this EM behaves; with advice.

    Changes nothing on the EM. Makes about ten small calls, reads one small file, and with --learn some thirty calls
    more. The exit code is 0 unless a row fails.

    \b
    emasync doctor
    emasync doctor --learn --json | jq -r 'select(.level == "warn") | .advice'
    """
    run_local(options, partial(_doctor, learn=learn))


def _doctor(options: GlobalOptions, output: Output, *, learn: bool) -> ExitCode:
    found: list[Finding] = []

    def report(finding: Finding) -> None:
        found.append(finding)
        output.result("check", _row(finding), **finding.fields)

    try:
        resolved = resolve_settings(options)
        check_complete(resolved)
        check_base_url(resolved.get("url") or "")  # a URL that holds a password must not be printed
        secret = read_password(resolved)
    except (OSError, ValueError, LookupError) as error:
        advice = "`emasync auth login` asks for what is missing"
        report(Finding(name="settings", level=Level.FAIL, text=str(error), advice=advice))
        return exit_code(error)
    where = f"{resolved.get('username')} at {resolved.get('url')} ({resolved.values['url'].origin})"
    report(Finding(name="settings", level=Level.OK, text=where))
    failure = anyio.run(partial(_examine, options, resolved, secret, report, learn=learn))
    if failure is not None:
        return exit_code(failure)
    warned = sum(finding.level is Level.WARN for finding in found)
    output.info("all is well" if not warned else f"nothing fails; {warned} to look at")
    return ExitCode.DONE


async def _examine(
    options: GlobalOptions, resolved: ResolvedSettings, secret: str, report: Report, *, learn: bool
) -> EMError | None:
    volume = requests.Volume(name=resolved.get("volume"), fields=Settings().volume_fields)
    async with unretried_client(options, resolved, password=secret) as em:
        return await run_checks(em, report, insecure=options.insecure, volume=volume, learn=learn)


def _row(finding: Finding) -> list[str]:
    advice = [f"{'':19}> {finding.advice}"] if finding.advice else []
    return [f"{_MARKS[finding.level]}  {finding.name:11}  {finding.text}", *advice]
