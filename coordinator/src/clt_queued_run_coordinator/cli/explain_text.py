"""What `dagster-clt explain` prints. Pure."""

from collections.abc import Iterator
from datetime import datetime

from clt_queued_run_coordinator.operate.blockers import Blocker, Holder
from clt_queued_run_coordinator.operate.explanation import Explanation
from clt_queued_run_coordinator.text.formats import duration, ordinal, signed_duration


def lines_of(explanation: Explanation) -> Iterator[str]:
    """The explanation as lines of text."""
    of = f" of {explanation.code_location}" if explanation.code_location else ""
    priority = f", priority {explanation.priority}" if explanation.priority else ""
    created = f"created {duration(explanation.queued_seconds)} ago"
    yield f"Run {explanation.run_id}{of}, job {explanation.job}{priority}: {created}"
    share = "" if explanation.share is None else f"; share {explanation.share:.1f}"
    seconds = explanation.credit_slot_seconds
    credit = "" if seconds is None else f", credit {signed_duration(seconds)}"
    yield f"{ordinal(explanation.place)} of {explanation.of} queued runs{of}{share}{credit}"
    if explanation.starts_within_seconds is not None:
        yield ""
        yield f"Nothing holds it: it starts at the next tick (within {explanation.starts_within_seconds} s)"
    for blocker in explanation.held_by:
        yield from _blocker(blocker)
    for note in explanation.notes:
        yield ""
        yield f"Note: {note}"


def _blocker(blocker: Blocker) -> Iterator[str]:
    yield ""
    yield f"Held: {blocker.what}"
    for holder in blocker.holders:
        yield f"        {_holder(holder)}"
    if blocker.held_by > len(blocker.holders):
        yield f"        and {blocker.held_by - len(blocker.holders)} more"
    yield f"  ->  {blocker.cure}"


def _holder(holder: Holder) -> str:
    of = f"{holder.code_location}  " if holder.code_location else ""
    job = f"{holder.job}  " if holder.job else "not in progress  "
    step = f"step {holder.step}  " if holder.step else ""
    since = f"since {datetime.fromisoformat(holder.since):%Y-%m-%d %H:%M:%S} UTC" if holder.since else ""
    return f"{holder.run_id}  {of}{job}{step}{since}".rstrip()
