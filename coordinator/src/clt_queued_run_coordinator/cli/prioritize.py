"""`dagster-clt prioritize`."""

import click

from clt_queued_run_coordinator.cli.instance import the_instance
from clt_queued_run_coordinator.queue import lookup
from clt_queued_run_coordinator.tagging.writing import write_priority


# -1 shall be taken as a priority, not as an option.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("run_ids", metavar="[RUN_ID]...", nargs=-1)
@click.argument("priority", metavar="N", type=int)
@click.option("--backfill", metavar="ID", help="The queued runs of this backfill.")
@click.option("--job", metavar="NAME", help="The queued runs of this job.")
@click.option("--location", metavar="LOCATION", help="Only those of the job in this code location; --job.")
def prioritize(
    run_ids: tuple[str, ...], priority: int, backfill: str | None, job: str | None, location: str | None
) -> None:
    """Give queued runs the priority N: the larger goes first, from the next tick on; 0 is that of a run without.

    RUN_ID is a run's id, or its first 8 characters as the UI shows it.
    """
    option = next((word for word in run_ids if word.startswith("-")), None)
    if option:
        raise click.UsageError(f"No such option: {option}")
    if sum((bool(run_ids), backfill is not None, job is not None)) != 1:
        raise click.UsageError("Give one of: RUN_ID, --backfill ID or --job NAME.")
    if location is not None and job is None:
        raise click.UsageError("--location is for --job.")
    with the_instance() as (instance, _):
        try:
            if backfill is not None:
                chosen = lookup.runs_of_backfill(instance, backfill)
            elif job is not None:
                chosen = lookup.runs_of_job(instance, job, location)
            else:
                chosen = lookup.runs_by_id(instance, run_ids)
        except lookup.NoSuchRunsError as error:
            raise click.ClickException(str(error)) from error
        written = write_priority(instance, chosen, priority)
    left = len(chosen) - written
    if not written:
        raise click.ClickException(f"Nothing was written: all {left} had just left the queue.")
    click.echo(
        f"{written} queued {'run has' if written == 1 else 'runs have'} priority {priority};"
        f" {left} had left the queue"
    )
