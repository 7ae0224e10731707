"""`dagster-clt check`."""

from pathlib import Path

import click

from clt_queued_run_coordinator._dagster import instance_concurrency_settings, run_database
from clt_queued_run_coordinator.check.finding import Finding
from clt_queued_run_coordinator.check.instance import findings_in_instance
from clt_queued_run_coordinator.check.workspace import Workspace, WorkspaceError, find, read
from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.queue import counts
from clt_queued_run_coordinator.queue.queued_runs import untagged_queued_runs
from clt_queued_run_coordinator.status import queue_state
from clt_queued_run_coordinator.tagging.writing import write_tags


@click.command()
@click.option("--fix", is_flag=True, help="Tag queued runs that lack their code location's tag.")
@click.option(
    "--values",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Check Helm values instead of an instance; several files as `helm upgrade -f` takes them.",
)
@click.option("--chart", type=click.Path(path_type=Path), help="The chart's directory or archive, for its keys.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    help="The workspace file, for the names of code locations; found in the current folder, in DAGSTER_HOME and in"
    " the containers of Dagster's chart.",
)
def check(fix: bool, values: tuple[Path, ...], chart: Path | None, workspace: Path | None) -> None:
    """Look for what is wrong with an instance, or with Helm values: a line for each finding, exit code 1."""
    if values and fix:
        raise click.UsageError("--fix is for an instance; leave it out with --values.")
    if chart and not values:
        raise click.UsageError("--chart is for --values; name the values files too.")
    if workspace and values:
        raise click.UsageError("--workspace is for an instance; leave it out with --values.")
    findings = _check_values(values, chart) if values else _check_instance(fix, _workspace(workspace))
    for finding in findings:
        click.echo(str(finding))
    click.echo(f"{len(findings)} finding{'' if len(findings) == 1 else 's'}", err=True)
    if findings:
        raise SystemExit(1)


def _check_values(values: tuple[Path, ...], chart: Path | None) -> list[Finding]:
    # Here, because only this command needs them and the probe has to be quick.
    from clt_queued_run_coordinator.helm.check import findings_in_values  # noqa: PLC0415
    from clt_queued_run_coordinator.helm.yaml import HelmInputError  # noqa: PLC0415

    try:
        report = findings_in_values(values, chart)
    except HelmInputError as error:
        raise click.ClickException(str(error)) from error
    for line in report.skipped:
        click.echo(f"skipped: {line}", err=True)
    return report.findings


def _workspace(file: Path | None) -> Workspace | None:
    try:
        return read(file) if file else find()
    except WorkspaceError as error:
        raise click.ClickException(str(error)) from error


def _check_instance(fix: bool, workspace: Workspace | None) -> list[Finding]:
    with the_instance() as (instance, coordinator):
        with run_database(instance).connect() as connection:
            untagged = untagged_queued_runs(connection)
        if fix:
            write_tags(instance, untagged)
            click.echo(f"{len(untagged)} queued runs tagged", err=True)
        return findings_in_instance(
            queue_state.read(instance, coordinator.settings),
            counts.known_code_locations(instance),
            instance_concurrency_settings(instance),
            0 if fix else len(untagged),
            coordinator.own_max_concurrent_runs,
            workspace=workspace,
        )
