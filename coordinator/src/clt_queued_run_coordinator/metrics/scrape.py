"""What one scrape of the metrics reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database
from clt_queued_run_coordinator.daemon.state import LastTick
from clt_queued_run_coordinator.operate.check import shadowed_by_tag_limits
from clt_queued_run_coordinator.operate.now import Now
from clt_queued_run_coordinator.operate.status import Status, status
from clt_queued_run_coordinator.policy.totals import Totals
from clt_queued_run_coordinator.submit.refused import read_refused


@dataclass(frozen=True)
class Scrape:
    """What one scrape has read, at a moment in UTC by this machine's clock.

    `totals` is what the daemon has counted, and `refused` the submits that were ever refused, by code location.
    Limits are shadowed where the instance's own tag limits replace those that the coordinator hands over.
    """

    at: datetime
    status: Status
    totals: Mapping[str, Totals] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    last_tick: LastTick | None = None
    are_limits_shadowed: bool = False


def read(instance: DagsterInstance, queue: Now) -> Scrape:
    """Read what the metrics show beside the queue."""
    now = datetime.now(timezone.utc)
    with run_database(instance).connect() as connection:
        refused = read_refused(connection)
    is_shadowed = shadowed_by_tag_limits(instance) is not None
    stored = queue.daemon.stored
    return Scrape(now, status(queue), stored.totals, refused, stored.last_tick, is_shadowed)
