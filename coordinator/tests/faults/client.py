"""One submitting client, a program of its own: launches runs of both code locations, one after the other.

It prints the id of each run whose launch was acknowledged, and the reason of each that was not, and goes on until
as many as asked for were acknowledged.
"""

import itertools
import sys
import time

from harness.graphql import GraphQL, Launch
from harness.launches import JOBS, launch_of

ACKNOWLEDGED, REFUSED = "acknowledged", "refused"
_PAUSE_SECONDS = 2.0  # between two launches, so that submitting goes on while something breaks


def launches(number: int, seconds: float) -> list[Launch]:
    """Runs of both code locations in turns; each works for some seconds."""
    turns = itertools.cycle(launch_of(name, seconds) for name in JOBS)
    return list(itertools.islice(turns, number))


def main(url: str, number: str, seconds: str) -> None:
    """Launch them."""
    graphql = GraphQL(url)
    for launch in launches(int(number), float(seconds)):
        while True:
            try:
                answer = f"{ACKNOWLEDGED} {graphql.launch(launch)}"
            except Exception as error:  # noqa: BLE001 - whatever broke, go on
                answer = f"{REFUSED} {type(error).__name__} {' '.join(str(error).split())[:200]}"
            sys.stdout.write(answer + "\n")
            sys.stdout.flush()
            time.sleep(_PAUSE_SECONDS)
            if answer.startswith(ACKNOWLEDGED):
                break


if __name__ == "__main__":
    main(*sys.argv[1:])
