"""How long a run works."""

import time

import dagster as dg
from pydantic import Field


class Work(dg.Config):
    """The run configuration that every op and asset of this code location takes."""

    seconds: float = Field(default=2, ge=0, description="Seconds that a run works, so that limits are seen.")

    def wait(self) -> None:
        """Stand in for the work of a real team."""
        time.sleep(self.seconds)
