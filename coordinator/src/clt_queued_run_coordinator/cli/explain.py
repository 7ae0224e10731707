"""`dagster-clt explain`."""

from datetime import datetime, timezone

import click

from clt_queued_run_coordinator._dagster import DagsterRunStatus
from clt_queued_run_coordinator.cli.explain_text import lines_of
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import output_option
from clt_queued_run_coordinator.cli.output import echo, echo_json
from clt_queued_run_coordinator.operate.explanation import explain as explained
from clt_queued_run_coordinator.operate.stored_run import StoredRun, describe_unqueued, find_runs


@click.command("explain")
@click.argument("run_id", metavar="RUN_ID")
@output_option
def explain(run_id: str, output: str) -> None:
    """Explain why a run is still queued, and what would let it start.

    RUN_ID is a run's id, or the first characters of it that no other run's id begins with. For a run that isn't
    queued it says what became of the run, with exit code 1. Changes nothing.

    \b
    Example:
      dagster-clt explain 478aa1eb
    """  # noqa: D301 - \b is for click
    with open_instance() as (instance, coordinator):
        stored = _only_one(run_id, find_runs(instance, run_id))
        explanation = None
        if stored.status is DagsterRunStatus.QUEUED:
            if stored.run is None:
                raise click.ClickException(
                    f"Dagster can't read what is stored of run {stored.run_id}, so it can't start; delete it with"
                    f" `dagster run delete {stored.run_id}`, and launch it again."
                )
            explanation = explained(instance, coordinator, stored)
            if explanation is None:  # it left the queue just now
                stored = _only_one(stored.run_id, find_runs(instance, stored.run_id))
        if explanation is None:
            what = describe_unqueued(stored, datetime.now(timezone.utc))
            data = {"run_id": stored.run_id, "status": stored.status.value, "what": what}
            if output == "json":
                echo_json(data)
            else:
                echo(what)
            raise SystemExit(1)
        if output == "json":
            echo_json(explanation.as_data())
        else:
            echo(*lines_of(explanation))


def _only_one(run_id: str, runs: list[StoredRun]) -> StoredRun:
    if not runs:
        raise click.ClickException(
            f"No run's id is {run_id!r} or begins with it; copy it from the UI's Runs page."
        )
    if len(runs) > 1:
        some = " and ".join(stored.run_id for stored in runs[:2])
        raise click.ClickException(
            f"The ids of several runs begin with {run_id!r}, such as {some}; give more characters."
        )
    return runs[0]
