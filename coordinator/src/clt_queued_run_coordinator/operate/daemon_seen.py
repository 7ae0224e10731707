"""What others can see of the daemon that reads the queue: its heartbeats, and what it has stored of its ticks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import QUEUE_DAEMON, DagsterRunStatus, RunRecord
from clt_queued_run_coordinator.daemon import lease
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.daemon.lease import Leader
from clt_queued_run_coordinator.daemon.state import DaemonState

SILENCE = timedelta(seconds=90)
"""After this long without a sign of life a daemon counts as down. It sends a heartbeat every 30 seconds."""

LATE = timedelta(seconds=daemon_state.STORE_INTERVAL_SECONDS + 5)
"""If the last stored reading of the queue is older than this and the interval, no tick has read it since."""


@dataclass(frozen=True)
class DaemonSeen:
    """The daemon that reads the queue. All times are in UTC.

    Attributes:
        stored: What it last stored.
        heartbeat: Its last heartbeat; None if there was none.
        process_heartbeat: The last heartbeat of any daemon in the same process. The others go on while a launch
            holds up this one.
        errors: The errors of its ticks in the last five minutes, the newest first. Dagster stores no times.
        leader: Which of several daemons dequeues; None before the first tick.
    """

    stored: DaemonState = field(default_factory=DaemonState)
    heartbeat: datetime | None = None
    process_heartbeat: datetime | None = None
    errors: Sequence[str] = ()
    leader: Leader | None = None

    @property
    def read_queue_at(self) -> datetime | None:
        """When a tick last read the queue; None if none ever did."""
        return utc_time(self.stored.last_tick.at if self.stored.last_tick else None)

    @property
    def last_sign(self) -> datetime | None:
        """Its last sign of life; None if it was never seen."""
        return max(filter(None, (self.heartbeat, self.read_queue_at)), default=None)

    def is_silent(self, at: datetime) -> bool:
        """Whether neither it nor its process has shown a sign of life for a while."""
        last = max(filter(None, (self.last_sign, self.process_heartbeat)), default=None)
        return last is None or at - last > SILENCE

    def launching(self, in_progress: Iterable[RunRecord]) -> list[RunRecord]:
        """The runs in progress that it has begun to launch at its last tick, given the times of their changes."""
        read, handed_over = self.read_queue_at, self.stored.launching
        return [
            record
            for record in in_progress
            if record.dagster_run.status is DagsterRunStatus.STARTING
            and (
                record.dagster_run.run_id in handed_over.first
                if handed_over
                else read and record.update_timestamp >= read
            )
        ]

    def busy_since(self, at: datetime, interval: timedelta, launching: Sequence[RunRecord]) -> datetime | None:
        """When a tick began that takes long, or when the queue was last read; None if the next one is due."""
        began = utc_time(self.stored.launching.began) if launching and self.stored.launching else None
        if began and at - began > interval:
            return began
        read = self.read_queue_at
        return read if read and at - read > interval + LATE else None

    def failing(self, interval: timedelta) -> str | None:
        """The newest error, if its ticks have failed since the last one that read the queue."""
        # A heartbeat long after the last reading comes from a loop that goes round without reading.
        read, heartbeat = self.read_queue_at, self.heartbeat
        fails = heartbeat is not None and (read is None or heartbeat - read > interval + LATE)
        return self.errors[0] if self.errors and fails else None


def read(connection: db.Connection, heartbeats: Mapping[str, Any]) -> DaemonSeen:
    """What is known of the daemon.

    Dagster's heartbeats are read before this connection is opened: a webserver has a number of connections, so
    whoever holds one must not wait for another.
    """
    own = heartbeats.get(QUEUE_DAEMON)
    same = [other.timestamp for other in heartbeats.values() if own and other.daemon_id == own.daemon_id]
    return DaemonSeen(
        stored=daemon_state.read(connection),
        heartbeat=utc_time(own.timestamp if own else None),
        process_heartbeat=utc_time(max(same, default=None)),
        errors=[error.message.strip() for error in (own and own.errors) or ()],
        leader=lease.read(connection),
    )


def utc_time(timestamp: float | None) -> datetime | None:
    """A time in UTC, from seconds since 1970; None also for one that no calendar has."""
    try:
        return None if timestamp is None else datetime.fromtimestamp(timestamp, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
