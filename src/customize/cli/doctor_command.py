"""``customize doctor``."""

from __future__ import annotations

import click


@click.command("doctor")
@click.option(
    "--backend",
    "only",
    multiple=True,
    metavar="NAME",
    help="Compute on this one alone, and on one that begins or reaches other processes, as ray.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON for a bug report; nothing private.")
def command(only: tuple[str, ...], as_json: bool) -> None:
    """Check this machine by computing on it, and say what to do.

    Memory, disk and threads; versions with known faults; plugins that are broken; and on every
    backend a tiny model, whose numbers are compared with the processor's in float32. A backend
    that begins a cluster or reaches a service is tried only where it is named. Ends with code 1
    where something is wrong.
    """
    import json
    import sys

    from customize.doctor.examination import as_json as told
    from customize.doctor.examination import examine

    findings = []
    for finding in examine(only):
        findings.append(finding)
        if not as_json:
            click.echo("\n".join(_lines(finding.what, finding.status, finding.told, finding.fix)))
    if as_json:
        click.echo(json.dumps(told(findings), indent=1))
    sys.exit(any(finding.status == "fault" for finding in findings))


_SHOWN = {"ok": "ok", "absent": "--", "warning": "warning", "fault": "FAULT"}


def _lines(what: str, status: str, told: str, fix: str) -> list[str]:
    import textwrap

    lines = textwrap.wrap(
        f"{_SHOWN[status]:8}{what}: {told}", 80, subsequent_indent=8 * " ", break_on_hyphens=False
    )
    if fix:
        lines += textwrap.wrap(
            f"to do: {fix}", 80, initial_indent=8 * " ", subsequent_indent=15 * " "
        )
    return lines
