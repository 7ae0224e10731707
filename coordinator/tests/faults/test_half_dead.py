"""A network that is half dead under a flood of runs: connections stay open, and nothing gets through any more.

How long it took is printed; see `docs/faults.md`.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from harness.half_dead import HalfDead, half_dead
from harness.launches import A, B
from harness.waiting import wait_until
from tests.faults.scene import Scene

pytestmark = pytest.mark.timeout(1200)


def test_a_daemon_without_standby_loses_its_way_to_the_database(
    by_its_own_way: Callable[[dict[str, Any]], Scene], way: HalfDead
) -> None:
    """When the network is back it goes on by itself, or has ended to be started again."""
    scene = by_its_own_way({})
    scene.begin(clients=3, runs=8)
    scene.wait(0, 5)
    way.cut()
    scene.wait(40, 80)  # longer than its connections live
    before = scene.run_ids_begun()
    way.mend()
    mended = time.monotonic()

    def next_start() -> set[str]:
        scene.system.restart_ended()
        return scene.run_ids_begun() - before

    wait_until("it starts a run", next_start, every=0.1)
    print(f"the next run began {time.monotonic() - mended:.1f} s after the network was back")  # noqa: T201 - see above
    scene.drain()
    assert scene.verdict(starvation=False) == []


def test_the_daemon_loses_its_way_to_a_code_server(scene: Scene) -> None:
    """Runs of the other code location start meanwhile; none is begun twice."""
    system = scene.system
    with half_dead(system.ports[A]) as way:
        workspace = yaml.safe_load(system.workspace.read_text())
        for server in workspace["load_from"]:
            if server["grpc_server"]["location_name"] == A:
                server["grpc_server"]["port"] = way.port
        of_the_daemon = system.home / "workspace-of-the-daemon.yaml"
        of_the_daemon.write_text(yaml.safe_dump(workspace))
        system.daemon.stop()
        system.daemon.command = [*system.daemon.command[:-1], str(of_the_daemon)]
        system.daemon.start()
        scene.begin(clients=3, runs=8)
        scene.wait(0, 5)
        way.cut()
        longest = 0.0
        for _ in range(4):
            before, cut = begun(scene, B), time.monotonic()
            wait_until("a run of the other code location begins", lambda seen=before: begun(scene, B) - seen, every=0.1)
            longest = max(longest, time.monotonic() - cut)
        print(f"the longest time without a start of the other code location: {longest:.1f} s")  # noqa: T201 - see above
        way.mend()
        scene.drain()
    assert scene.verdict(starvation=False) == []


def begun(scene: Scene, code_location: str) -> set[str]:
    """The runs of a code location that the daemon has taken out of the queue so far."""
    with scene.system.instance() as instance:
        runs = instance.get_runs()
    return {
        run.run_id
        for run in runs
        if run.status.value != "QUEUED"
        and run.remote_job_origin
        and run.remote_job_origin.location_name == code_location
    }
