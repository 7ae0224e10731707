"""`dagster-clt`: looks at the queue, limits and pauses code locations live, checks an instance or Helm values.

Answers go to standard output, everything else to standard error. Exit codes: 0; 1 for findings or a refusal; 2 for
wrong usage.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from clt_queued_run_coordinator._dagster import DagsterInstance, instance_concurrency_settings, run_database
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.limits import live
from clt_queued_run_coordinator.opening import OpeningError, load_coordinator, one_line, opened_instance
from clt_queued_run_coordinator.queue import counts
from clt_queued_run_coordinator.queue.queued_runs import untagged_queued_runs
from clt_queued_run_coordinator.tagging.writing import write_tags
from clt_queued_run_coordinator.view import checks, queue_state
from clt_queued_run_coordinator.view.findings import Finding
from clt_queued_run_coordinator.view.names import nearest
from clt_queued_run_coordinator.view.status import Status, status
from clt_queued_run_coordinator.view.table import status_table

WIDTH_WITHOUT_TERMINAL = 200  # columns; a pipe has no width, and nothing may be cut off

CodeLocation = click.argument("code_location", metavar="LOCATION")
Force = click.option("--force", is_flag=True, help="Take a code location that no run was ever queued from.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dagster-clt-queued-run-coordinator")
def main() -> None:
    """Limit, pause and watch the runs of each code location.

    The instance is found as `dagster` finds it, through DAGSTER_HOME.
    """


@contextmanager
def _instance() -> Iterator[tuple[DagsterInstance, CLTQueuedRunCoordinator]]:
    try:
        with opened_instance() as opened:
            yield opened
    except OpeningError as error:
        raise click.ClickException(str(error)) from error
    except click.ClickException:
        raise
    except Exception as error:
        raise click.ClickException(f"The instance's database can't be used: {one_line(error)}") from error


def _read(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> queue_state.QueueState:
    state = queue_state.read(instance, coordinator.settings)
    for line in state.live.unreadable:
        click.echo(line, err=True)
    return state


def _status(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> Status:
    return status(_read(instance, coordinator), datetime.now(timezone.utc))


@main.command("status")
@click.option("--watch", is_flag=True, help="Refresh in place until interrupted.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds; --watch."
)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status_command(watch: bool, interval: float, output: str) -> None:
    """Show each code location: runs, limit and where it comes from, share, and what it waits for."""
    if watch and output == "json":
        raise click.UsageError("--watch shows a table; leave out --output json.")
    with _instance() as (instance, coordinator):
        if output == "json":
            click.echo(json.dumps(_status(instance, coordinator).as_data(), indent=2))
            return
        console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
        table = status_table(_status(instance, coordinator))
        if not watch:
            console.print(table)
            return
        with Live(table, console=console, auto_refresh=False) as display:
            try:
                while True:
                    time.sleep(interval)
                    display.update(status_table(_status(instance, coordinator)), refresh=True)
            except KeyboardInterrupt:
                return


# -1 shall be refused as a limit, not as an option.
@main.command("set-limit", context_settings={"ignore_unknown_options": True})
@CodeLocation
@click.argument("limit", type=click.IntRange(min=0))
@Force
def set_limit(code_location: str, limit: int, force: bool) -> None:
    """Let at most LIMIT runs of LOCATION be in progress, from the next tick on; 0 holds it."""
    with _instance() as (instance, coordinator):
        _change(instance, coordinator, [code_location], force, lambda name: live.set_limit(instance, name, limit))


@main.command("clear-limit")
@CodeLocation
@Force
def clear_limit(code_location: str, force: bool) -> None:
    """Go back to the configured limit of LOCATION."""
    with _instance() as (instance, coordinator):
        _change(instance, coordinator, [code_location], force, lambda name: live.clear_limit(instance, name))


@main.command()
@click.argument("code_location", metavar="LOCATION", required=False)
@click.option("--all", "all_of_them", is_flag=True, help="Every code location, also one that is seen later.")
@Force
def pause(code_location: str | None, all_of_them: bool, force: bool) -> None:
    """Start nothing of LOCATION from the next tick on; runs in progress are left alone."""
    _pause_or_resume(live.pause, code_location, all_of_them, force)


@main.command()
@click.argument("code_location", metavar="LOCATION", required=False)
@click.option("--all", "all_of_them", is_flag=True, help="Every code location.")
@Force
def resume(code_location: str | None, all_of_them: bool, force: bool) -> None:
    """End the pause of LOCATION; the limit from before holds again."""
    _pause_or_resume(live.resume, code_location, all_of_them, force)


def _pause_or_resume(
    write: Callable[[DagsterInstance, str], None], code_location: str | None, all_of_them: bool, force: bool
) -> None:
    if (code_location is None) != all_of_them:
        raise click.UsageError("Name one LOCATION, or give --all.")
    with _instance() as (instance, coordinator):
        names = [code_location] if code_location else sorted(_known(instance, coordinator))
        if all_of_them:
            write(instance, live.EVERY_CODE_LOCATION)
        _change(instance, coordinator, names, force or all_of_them, lambda name: write(instance, name))


def _known(instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator) -> set[str]:
    return set(queue_state.read(instance, coordinator.settings).limits) | counts.known_code_locations(instance)


def _change(
    instance: DagsterInstance,
    coordinator: CLTQueuedRunCoordinator,
    names: list[str],
    force: bool,
    write: Callable[[str], None],
) -> None:
    """Write a live change for each code location and say what is in force from then on."""
    for name in names:
        if not name.strip() or name == live.EVERY_CODE_LOCATION:
            raise click.UsageError(f"{name!r} is not the name of a code location.")
        if not force:
            _refuse_unknown(name, _known(instance, coordinator))
        write(name)
    state = _read(instance, coordinator)
    for name in names:
        in_force = state.limits.get(name)
        limit = "no limit" if in_force is None or in_force.limit is None else f"limit {in_force.limit}"
        source = f" ({in_force.source.value})" if in_force else ""
        click.echo(f"{name}: {limit}{source} from the next tick on")
    if checks.TAG_LIMITS in instance_concurrency_settings(instance):
        click.echo(f"Beware: {checks.shadowed_by_tag_limits()}", err=True)


def _refuse_unknown(name: str, known: set[str]) -> None:
    if name in known:
        return
    similar = nearest(name, known)
    raise click.ClickException(
        f"No run was ever queued from a code location {name!r}"
        + (
            f"; did you mean {similar!r}?"
            if similar
            else "; known are " + (", ".join(sorted(known)) or "none") + "."
        )
        + " --force takes it anyway."
    )


@main.command()
@click.option("--fix", is_flag=True, help="Tag queued runs that lack their code location's tag.")
@click.option(
    "--values",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Check Helm values instead of an instance; several files as `helm upgrade -f` takes them.",
)
@click.option("--chart", type=click.Path(path_type=Path), help="The chart's directory or archive, for its keys.")
def check(fix: bool, values: tuple[Path, ...], chart: Path | None) -> None:
    """Look for what is wrong with an instance, or with Helm values: a line for each finding, exit code 1."""
    if values and fix:
        raise click.UsageError("--fix is for an instance; leave it out with --values.")
    if chart and not values:
        raise click.UsageError("--chart is for --values; name the values files too.")
    findings = _check_values(values, chart) if values else _check_instance(fix)
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


def _check_instance(fix: bool) -> list[Finding]:
    with _instance() as (instance, coordinator):
        with run_database(instance).connect() as connection:
            untagged = untagged_queued_runs(connection)
        if fix:
            write_tags(instance, untagged)
            click.echo(f"{len(untagged)} queued runs tagged", err=True)
        return checks.instance_findings(
            queue_state.read(instance, coordinator.settings),
            counts.known_code_locations(instance),
            instance_concurrency_settings(instance),
            0 if fix else len(untagged),
            coordinator.own_total,
        )


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=9464, show_default=True, help="0 for a free one.")
def metrics(host: str, port: int) -> None:
    """Serve the numbers of `status` for Prometheus at /metrics."""
    try:
        from clt_queued_run_coordinator.view.metrics import serve  # noqa: PLC0415 - an extra of the package
    except ImportError as error:
        raise click.ClickException(
            f"The package {error.name} is missing; install dagster-clt-queued-run-coordinator[metrics]."
        ) from error
    with _instance() as (instance, coordinator):
        try:
            port, thread = serve(lambda: _status(instance, coordinator), host, port)
        except OSError as error:
            raise click.ClickException(f"{host}:{port} can't be listened on: {error.strerror}") from error
        click.echo(f"Serving http://{host}:{port}/metrics", err=True)
        # Without a handler the first process of a container ignores SIGTERM, and each rollout waits for its kill.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            thread.join()
        except KeyboardInterrupt:
            return


@main.command()
def probe() -> None:
    """Load the instance's run coordinator as daemon, webserver and runs do; for startup probes.

    Dagster loads it lazily, so that a wrong image looks healthy until its first run.
    """
    try:
        coordinator: Any = load_coordinator()
    except OpeningError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{type(coordinator).__name__} can be loaded")


if __name__ == "__main__":
    main()
