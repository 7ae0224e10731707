"""What others can see of the daemon that reads the queue: its heartbeats, and what it has stored of its ticks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import QUEUE_DAEMON, DagsterInstance, DagsterRunStatus, RunRecord
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.policy.credit import Credit
from clt_queued_run_coordinator.store.database_clock import utc

SILENCE = timedelta(seconds=90)
"""After this long without a sign of life a daemon counts as down. It sends a heartbeat every 30 seconds."""

LATE = timedelta(seconds=daemon_state.STORE_INTERVAL_SECONDS + 5)
"""If the last stored reading of the queue is older than this and the interval, no tick has read it since."""


@dataclass(frozen=True)
class DaemonSeen:
    """The daemon that reads the queue.

    Attributes:
        narrowed: Whether it shows Dagster only the runs that may start; None before its first tick.
        credit: The credit of code locations and groups as of when it last stored it.
        read_queue_at: When a tick last read the queue, in UTC; None if none ever did.
        heartbeat: Its last heartbeat, in UTC; None if there was none.
        process_heartbeat: The last heartbeat of any daemon in the same process. The others go on while a launch
            holds up this one.
        handed_over_at: When its last tick handed runs over to be launched, in UTC; None if it handed over none.
        handed_over: The ids of the first of these runs.
        errors: The errors of its ticks in the last five minutes, the newest first. Dagster stores no times.
    """

    narrowed: bool | None = None
    credit: Credit = field(default_factory=Credit)
    read_queue_at: datetime | None = None
    heartbeat: datetime | None = None
    process_heartbeat: datetime | None = None
    handed_over_at: datetime | None = None
    handed_over: Sequence[str] = ()
    errors: Sequence[str] = ()

    @property
    def last_sign(self) -> datetime | None:
        """Its last sign of life, in UTC; None if it was never seen."""
        return max(filter(None, (self.heartbeat, self.read_queue_at)), default=None)

    def is_silent(self, at: datetime) -> bool:
        """Whether neither it nor its process has shown a sign of life for a while."""
        last = max(filter(None, (self.last_sign, self.process_heartbeat)), default=None)
        return last is None or at - last > SILENCE

    def launching(self, in_progress: Iterable[RunRecord]) -> list[RunRecord]:
        """The runs in progress that it has begun to launch at its last tick."""
        read, named = self.read_queue_at, self.handed_over
        return [
            record
            for record in in_progress
            if record.dagster_run.status is DagsterRunStatus.STARTING
            and (record.dagster_run.run_id in named if named else read and utc(record.update_timestamp) >= read)
        ]

    def busy_since(self, at: datetime, interval: timedelta, launching: Sequence[RunRecord]) -> datetime | None:
        """When a tick began that takes long, or when the queue was last read; None if the next one is due.

        Args:
            at: The moment, in UTC.
            interval: The time between two ticks.
            launching: What it has begun to launch.
        """
        if launching and self.handed_over_at and at - self.handed_over_at > interval:
            return self.handed_over_at
        read = self.read_queue_at
        return read if read and at - read > interval + LATE else None

    def failing(self, interval: timedelta) -> str | None:
        """The newest error, if its ticks have failed since the last one that read the queue.

        Args:
            interval: The time between two ticks.
        """
        # A heartbeat long after the last reading comes from a loop that goes round without reading.
        read, heartbeat = self.read_queue_at, self.heartbeat
        fails = heartbeat is not None and (read is None or heartbeat - read > interval + LATE)
        return self.errors[0] if self.errors and fails else None


def read(instance: DagsterInstance, connection: db.Connection) -> DaemonSeen:
    """Read what is known of the daemon.

    Args:
        instance: The instance.
        connection: To its run database.
    """
    heartbeats = instance.get_daemon_heartbeats()
    own = heartbeats.get(QUEUE_DAEMON)
    stored = daemon_state.read(connection)
    tick, launching = stored.last_tick, stored.launching
    same = [other.timestamp for other in heartbeats.values() if own and other.daemon_id == own.daemon_id]
    return DaemonSeen(
        narrowed=stored.narrowed,
        credit=stored.credit,
        read_queue_at=utc_time(tick.at if tick else None),
        heartbeat=utc_time(own.timestamp if own else None),
        process_heartbeat=utc_time(max(same, default=None)),
        handed_over_at=utc_time(launching.began if launching else None),
        handed_over=launching.first if launching else (),
        errors=[error.message.strip() for error in (own and own.errors) or ()],
    )


def utc_time(timestamp: float | None) -> datetime | None:
    """A time in UTC, from seconds since 1970; None also for one that no calendar has."""
    try:
        return None if timestamp is None else datetime.fromtimestamp(timestamp, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
