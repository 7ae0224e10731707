"""`dagster-clt explain`."""

import json
from datetime import datetime, timezone

import click

from clt_queued_run_coordinator._dagster import DagsterRunStatus
from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.explain.explanation import explain as explained
from clt_queued_run_coordinator.explain.explanation import what_it_is
from clt_queued_run_coordinator.explain.run_facts import StoredRun, find_runs
from clt_queued_run_coordinator.explain.text import as_text


@click.command("explain")
@click.argument("run_id", metavar="RUN_ID")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def explain(run_id: str, output: str) -> None:
    """Say why a run is queued: its place, what holds it now, and what would let it go.

    RUN_ID may be the beginning of an id that no other run has. A run that isn't queued is said to be what it is,
    with exit code 1. Nothing is changed.
    """
    with the_instance() as (instance, coordinator):
        now = datetime.now(timezone.utc)
        stored = _the_only_one(run_id, find_runs(instance, run_id))
        if stored.run.status is not DagsterRunStatus.QUEUED:
            what = what_it_is(stored, now)
            data = {"run_id": stored.run.run_id, "status": stored.run.status.value, "what": what}
            click.echo(json.dumps(data, indent=2) if output == "json" else what)
            raise SystemExit(1)
        explanation = explained(instance, coordinator, stored, now)
        click.echo(json.dumps(explanation.as_data(), indent=2) if output == "json" else as_text(explanation))


def _the_only_one(run_id: str, runs: list[StoredRun]) -> StoredRun:
    if not runs:
        raise click.ClickException(f"No run has the id {run_id!r}, or one that begins so.")
    if len(runs) > 1:
        some = " and ".join(stored.run.run_id for stored in runs[:2])
        raise click.ClickException(
            f"Several runs have ids that begin with {run_id!r}, such as {some}; give more of it."
        )
    return runs[0]
