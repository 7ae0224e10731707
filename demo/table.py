"""The live table: what each code location's runs do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import dagster as dg
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from rich.table import Table

Status = dg.DagsterRunStatus
IN_PROGRESS = {Status.STARTING, Status.STARTED, Status.CANCELING}
"""The statuses in which a run counts against its limits."""


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
            own = [run for run in runs if run.tags.get(CLT_TAG_KEY) == name]
            in_progress = sum(run.status in IN_PROGRESS for run in own)
            self.most[name] = max(self.most.get(name, 0), in_progress)
            ended = sum(run.is_finished for run in own)
            queued = len(own) - in_progress - ended
            table.add_row(name, *map(str, (queued, in_progress, limit, self.most[name], ended)))
        return table
