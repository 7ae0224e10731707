"""The live table: what each code location's runs do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import dagster as dg
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY
from rich.table import Table

Status = dg.DagsterRunStatus
IN_PROGRESS = {Status.STARTING, Status.STARTED, Status.CANCELING}
"""The statuses in which a run counts against its limits."""
ENDED = {Status.SUCCESS, Status.FAILURE, Status.CANCELED}


@dataclass
class Watch:
    """What was seen so far.

    Attributes:
        limits: The limit of each code location, by name.
        most: The most runs seen in progress at once.
    """

    limits: Mapping[str, int]
    most: dict[str, int] = field(default_factory=dict)

    def look(self, runs: Iterable[dg.DagsterRun]) -> Table:
        """The table of this moment."""
        table = Table("code location", *(("queued", "in progress", "limit", "most seen at once", "ended")))
        for column in table.columns[1:]:
            column.justify = "right"
        runs = list(runs)
        for name, limit in self.limits.items():
            statuses = [run.status for run in runs if run.tags.get(CLT_TAG_KEY) == name]
            in_progress = sum(status in IN_PROGRESS for status in statuses)
            self.most[name] = max(self.most.get(name, 0), in_progress)
            ended = sum(status in ENDED for status in statuses)
            queued = len(statuses) - in_progress - ended
            table.add_row(name, *map(str, (queued, in_progress, limit, self.most[name], ended)))
        return table


def all_ended(runs: Iterable[dg.DagsterRun]) -> bool:
    """Whether no run is queued or in progress."""
    return all(run.status in ENDED for run in runs)
