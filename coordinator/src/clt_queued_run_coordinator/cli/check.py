"""`dagster-clt check`."""

from functools import partial
from pathlib import Path

import click

from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.cli.tools import tool
from clt_queued_run_coordinator.operate import check as instance_check
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.operate.workspace import find, read
from clt_queued_run_coordinator.text.formats import count

_file = partial(click.option, type=click.Path(path_type=Path))


@click.command()
@click.option(
    "--fix",
    is_flag=True,
    help="Tag the queued runs that lack the tag of their code location, and remove stored changes without effect.",
)
@_file(
    "--values",
    multiple=True,
    metavar="FILE",
    help="Check this file of Helm values instead of an instance. Repeat the option for several files, in the order"
    " of `helm upgrade --values`.",
)
@_file(
    "--chart",
    metavar="PATH",
    help="The chart's folder or .tgz archive, to find keys that it doesn't know; only with --values.",
)
@_file(
    "--workspace",
    metavar="FILE",
    help="The workspace file that names the code locations. By default workspace.yaml in the current folder, in"
    " DAGSTER_HOME or in /dagster-workspace, where Dagster's chart puts it.",
)
def check(fix: bool, values: tuple[Path, ...], chart: Path | None, workspace: Path | None) -> None:
    """Check an instance, or Helm values, for mistakes; exit code 1 if there are any.

    Prints one line for each finding: the place, the mistake and the cure.

    \b
    Examples:
      dagster-clt check
      dagster-clt check --values deploy/values.yaml --values production.yaml --chart dagster-1.12.10.tgz
    """  # noqa: D301 - \b is for click
    for is_given, option in ((fix, "--fix"), (workspace, "--workspace")):
        if values and is_given:
            raise click.UsageError(f"{option} works on an instance; leave it out with --values.")
    if chart and not values:
        raise click.UsageError("--chart works only with --values; name the values files too.")
    findings = _of_values(values, chart) if values else _of_the_instance(fix, workspace)
    echo(*map(str, findings))
    echo(count(len(findings), "finding"), err=True)
    if findings:
        raise SystemExit(1)


def _of_values(values: tuple[Path, ...], chart: Path | None) -> list[Finding]:
    report = tool("check").findings_in_values(values, chart)
    echo(*(f"skipped: {line}" for line in report.skipped), err=True)
    return [*report.findings]


def _of_the_instance(fix: bool, file: Path | None) -> list[Finding]:
    found = read(file) if file else find()
    with open_instance() as (instance, coordinator):
        if fix:
            tagged, removed = instance_check.mend(instance)
            echo(f"Tagged {count(tagged, 'run')}.", err=True)
            if removed:
                echo(f"Removed what did nothing: the resume of {', '.join(removed)}.", err=True)
        return instance_check.find(instance, coordinator, found)
