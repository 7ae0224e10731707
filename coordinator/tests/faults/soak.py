"""Random faults, one after the other, under a flood that goes on: `make soak MINUTES=30`.

The seed is printed at the begin and chooses every fault and moment, so that a failure can be run again.
"""

import random
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from harness.waiting import wait_until
from tests.faults.faults import FAULTS
from tests.faults.scene import Scene, opened_scene
from tests.postgresql import running_postgresql

QUEUE = 10  # runs; the flood pauses while more have not ended


def say(line: str) -> None:
    """Print a line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)  # noqa: T201 - a command's answer


def soak(scene: Scene, minutes: float) -> list[str]:
    """Break things until the time is over, then drain and judge."""
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        fault = scene.random.choice(FAULTS)
        scene.begin(clients=3, runs=4)
        say(f"{fault.__name__}, {len(scene.flood.acknowledged)} runs acknowledged so far")
        fault(scene)
        wait_until(f"at most {QUEUE} runs have not ended", lambda: scene.is_calm(QUEUE), seconds=1800, every=1)
    say("draining")
    scene.drain(3600)
    return scene.verdict(starvation=False)


def main() -> int:
    """Run it; returns the exit code."""
    parser = ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long things break (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of an earlier soak"
    )
    options = parser.parse_args()
    say(f"seed {options.seed}")
    # Not removed where it failed: its logs tell why.
    home = Path(tempfile.mkdtemp(prefix="dagster-soak-")) / "home"
    with running_postgresql() as postgresql:
        postgresql.execute("CREATE DATABASE soak")
        with opened_scene(home, postgresql, postgresql.url("soak"), options.seed) as scene:
            found = soak(scene, options.minutes)
    for line in found:
        say(line)
    say(f"{len(found)} problems; seed {options.seed}; logs in {scene.system.logs}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
