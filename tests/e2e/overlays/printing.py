"""A code location whose job prints; the images of the run logs' test have it."""

import sys
import time

import dagster as dg


class Speak(dg.Config):
    """The run configuration of the step."""

    seconds: float = 0


@dg.op
def speak(config: Speak) -> None:
    """Print to both streams, wait, print once more."""
    print("this went to stdout")  # noqa: T201 - what is tested
    print("this went to stderr", file=sys.stderr)  # noqa: T201 - what is tested
    time.sleep(config.seconds)
    print("this came last")  # noqa: T201 - what is tested


@dg.job
def announce() -> None:
    """Say something."""
    speak()


definitions = dg.Definitions(jobs=[announce])
