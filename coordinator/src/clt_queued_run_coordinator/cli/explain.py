"""`dagster-clt explain`."""

from collections.abc import Iterator
from datetime import datetime, timezone

import click

from clt_queued_run_coordinator._dagster import DagsterRunStatus
from clt_queued_run_coordinator.cli.instance import open_instance
from clt_queued_run_coordinator.cli.options import output_option
from clt_queued_run_coordinator.cli.output import echo, echo_json
from clt_queued_run_coordinator.operate import explanation
from clt_queued_run_coordinator.operate.blockers import Holder
from clt_queued_run_coordinator.operate.explanation import Explanation
from clt_queued_run_coordinator.operate.stored_run import StoredRun, describe_unqueued, find_runs
from clt_queued_run_coordinator.text.formats import count, duration, ordinal, signed_duration


@click.command()
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
        found = None
        if stored.status is DagsterRunStatus.QUEUED:
            if stored.run is None:
                raise click.ClickException(
                    f"Dagster can't read what is stored of run {stored.run_id}, so it can't start; delete it with"
                    f" `dagster run delete {stored.run_id}`, and launch it again."
                )
            found = explanation.explain(instance, coordinator, stored)
            if found is None:  # it left the queue just now
                stored = _only_one(stored.run_id, find_runs(instance, stored.run_id))
    what = "" if found else describe_unqueued(stored, datetime.now(timezone.utc))
    if output == "json":
        unqueued = {"run_id": stored.run_id, "status": stored.status.value, "what": what}
        echo_json(found.as_data() if found else unqueued)
    else:
        echo(*(_lines(found) if found else [what]))
    if not found:
        raise SystemExit(1)


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


def _lines(found: Explanation) -> Iterator[str]:
    of = f" of {found.code_location}" if found.code_location else ""
    priority = f", priority {found.priority}" if found.priority else ""
    created = f"created {duration(found.queued_seconds)} ago"
    created += "" if found.slots is None else f", takes {count(found.slots, 'slot')}"
    yield f"Run {found.run_id}{of}, job {found.job}{priority}: {created}"
    share = "" if found.share is None else f"; share {found.share:.1f}"
    seconds = found.credit_slot_seconds
    credit = "" if seconds is None else f", credit {signed_duration(seconds)}"
    yield f"{ordinal(found.place)} of {found.of} queued runs{of}{share}{credit}"
    if found.starts_within_seconds is not None:
        yield from ("", f"Nothing holds it: it starts at the next tick (within {found.starts_within_seconds} s)")
    for blocker in found.held_by:
        yield from ("", f"Held: {blocker.what}", *(f"        {_holder(holder)}" for holder in blocker.holders))
        if blocker.held_by > len(blocker.holders):
            yield f"        and {blocker.held_by - len(blocker.holders)} more"
        yield f"  ->  {blocker.cure}"
    if found.held_by:
        yield from ("", found.estimate.in_words)
    for note in found.notes:
        yield from ("", f"Note: {note}")


def _holder(holder: Holder) -> str:
    of = f"{holder.code_location}  " if holder.code_location else ""
    job = f"{holder.job}  " if holder.job else "not in progress  "
    step = f"step {holder.step}  " if holder.step else ""
    since = f"since {datetime.fromisoformat(holder.since):%Y-%m-%d %H:%M:%S} UTC" if holder.since else ""
    return f"{holder.run_id}  {of}{job}{step}{since}".rstrip()
