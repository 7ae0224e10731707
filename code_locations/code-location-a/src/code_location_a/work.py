"""How much a run works."""

import time

import dagster as dg
from pydantic import Field


class Work(dg.Config):
    """The run configuration that every op and asset of this code location takes."""

    rows: int = Field(
        default=1_000_000,
        ge=1,
        description="Rows that are made up and calculated with; a million takes about a second.",
    )


class WorkAndWait(Work):
    """The run configuration of an op that waits for another system, too."""

    seconds: float = Field(
        default=0,
        ge=0,
        description="Seconds that the other system takes: the run holds its slot and uses no core.",
    )

    def wait(self) -> None:
        """Stand in for the other system's answer."""
        time.sleep(self.seconds)
