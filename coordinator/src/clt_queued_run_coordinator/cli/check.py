"""`dagster-clt check`."""

from pathlib import Path

import click

from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.cli.tools import tool
from clt_queued_run_coordinator.operate import check as instance_check
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.operate.workspace import Workspace, find, read
from clt_queued_run_coordinator.text.formats import count


@click.command()
@click.option(
    "--fix",
    is_flag=True,
    help="Tag the queued runs that lack the tag of their code location, and remove stored changes without effect.",
)
@click.option(
    "--values",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Check this file of Helm values instead of an instance. Repeat the option for several files, in the order"
    " of `helm upgrade --values`.",
)
@click.option(
    "--chart",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The chart's folder or .tgz archive, to find keys that it doesn't know; only with --values.",
)
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
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
    if values and fix:
        raise click.UsageError("--fix works on an instance; leave it out with --values.")
    if chart and not values:
        raise click.UsageError("--chart works only with --values; name the values files too.")
    if workspace and values:
        raise click.UsageError("--workspace works on an instance; leave it out with --values.")
    findings = (
        _check_values(values, chart) if values else _check_instance(fix, read(workspace) if workspace else find())
    )
    for finding in findings:
        echo(str(finding))
    echo(count(len(findings), "finding"), err=True)
    if findings:
        raise SystemExit(1)


def _check_values(values: tuple[Path, ...], chart: Path | None) -> list[Finding]:
    report = tool("check").findings_in_values(values, chart)
    echo(*(f"skipped: {line}" for line in report.skipped), err=True)
    findings: list[Finding] = report.findings
    return findings


def _check_instance(fix: bool, workspace: Workspace | None) -> list[Finding]:
    with open_instance() as (instance, coordinator):
        if fix:
            tagged, removed = instance_check.mend(instance)
            echo(f"Tagged {count(tagged, 'run')}.", err=True)
            if removed:
                echo(f"Removed what did nothing: the resume of {', '.join(removed)}.", err=True)
        return instance_check.find(instance, coordinator, workspace)
