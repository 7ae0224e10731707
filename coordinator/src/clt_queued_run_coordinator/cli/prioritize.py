"""`dagster-clt prioritize`."""

import click

from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import signing_options
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.operate import changing, lookup


# So that click takes -1 as a priority and not as an option.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("run_ids", metavar="[RUN_ID]...", nargs=-1)
@click.argument("priority", metavar="N", type=int)
@click.option("--backfill", metavar="ID", help="Choose the runs of this backfill.")
@click.option("--job", metavar="NAME", help="Choose the runs of this job; `__ASSET_JOB` for runs of assets.")
@click.option("--location", metavar="LOCATION", help="Only those in this code location; only with --job.")
@signing_options
def prioritize(
    run_ids: tuple[str, ...],
    priority: int,
    backfill: str | None,
    job: str | None,
    location: str | None,
    *,
    reason: str | None,
    by: str | None,
) -> None:
    """Set the priority of queued runs; higher priorities are dequeued first.

    N is a whole number; a run without a priority counts as 0. RUN_ID is a run's id, or its first 8 characters as
    the UI shows them. Choose the runs by their ids, by --backfill or by --job; only queued ones are changed.

    \b
    Examples:
      dagster-clt prioritize 478aa1eb 10
      dagster-clt prioritize --job nightly --location code-location-a -1
    """  # noqa: D301 - \b is for click
    option = next((word for word in run_ids if word.startswith("-")), None)
    if option:
        raise click.UsageError(f"No such option: {option}")
    if sum((bool(run_ids), backfill is not None, job is not None)) != 1:
        raise click.UsageError("Give one of: RUN_ID, --backfill ID or --job NAME.")
    if location is not None and job is None:
        raise click.UsageError("--location works only with --job; name the job too.")
    with open_instance() as (instance, _):
        if backfill is not None:
            chosen, of = lookup.runs_of_backfill(instance, backfill), f"backfill {backfill}"
        elif job is not None:
            chosen, of = lookup.runs_of_job(instance, job, location), f"job {job}"
        else:
            chosen = lookup.runs_by_id(instance, run_ids)
            of = f"run {chosen[0]}" if len(chosen) == 1 else f"{len(chosen)} runs"
        written = changing.prioritize(instance, chosen, priority, of, reason, by=by)
    left = len(chosen) - written
    if not written:
        raise click.ClickException(f"No priority was changed: all {left} runs had just left the queue.")
    echo(
        f"{written} queued {'run has' if written == 1 else 'runs have'} priority {priority};"
        f" {left} had left the queue"
    )
