"""The daemon's tick where limits count slots, beside the same where they count runs."""

import json
from collections.abc import Iterator

from clt_queued_run_coordinator.config.tag import RESOURCES_TAGS, TAKES_SLOTS_TAG

from benchmarks.filled_queue import Slots, fill
from benchmarks.measure import Bench, Goal, Row
from benchmarks.tick import timed_start, timed_tick

CASES = {500: (Goal(more=0.015), 15), 5_000: (Goal(ratio=1.25), 9), 30_000: (Goal(ratio=1.25), 5)}
"""For each number of runs queued the goal and how many rounds are measured."""

RUNS = "in runs"
SLOT = {"cpu": 1, "memory": "4Gi"}
TAGS = {
    TAKES_SLOTS_TAG: "1",
    RESOURCES_TAGS[0]: json.dumps(
        {"container_config": {"resources": {"requests": {"cpu": "500m", "memory": "2Gi"}}}}
    ),
}
"""The tags of a run that asks for one slot."""


def run(bench: Bench) -> Iterator[Row]:
    """Each length with few and with many code locations, where a run starts and where none can."""
    for queued, (goal, rounds) in bench.sizes(CASES).items():
        for code_locations in (2, 100):
            for slots, timed in ((Slots.ONE_FREE, timed_start), (Slots.FULL, timed_tick)):
                filled = fill(bench, queued, code_locations, slots, tags=TAGS)
                config = filled.config("fair")
                sized = {**config, "code_location_limits": {**config["code_location_limits"], "slot": SLOT}}
                in_runs = filled.copied(bench, "runs").open(bench, "clt", config)
                in_slots = filled.copied(bench, "slots").open(bench, "clt", sized)
                free = "one slot free" if slots is Slots.ONE_FREE else "none can start"
                what = f"{queued:,} queued, {code_locations} code locations, {free}"
                seconds = bench.interleave(what, rounds, {RUNS: timed(in_runs), "in slots": timed(in_slots)})
                yield Row("slots", what, "s", seconds["in slots"], seconds[RUNS], RUNS, goal)
                for queue in (in_runs, in_slots):
                    queue.instance.dispose()
