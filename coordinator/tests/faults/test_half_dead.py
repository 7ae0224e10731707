"""A network that is half dead under a flood of runs: connections stay open, and nothing gets through any more.

How long it took is printed; see `docs/faults.md`.
"""

import time
from collections.abc import Callable

import pytest
import yaml
from clt_queued_run_coordinator.config.tag import code_location_of
from dagster import DagsterRunStatus
from harness.half_dead import HalfDead, half_dead
from harness.launches import A, B
from harness.waiting import wait_until
from tests.faults.scene import Scene

pytestmark = pytest.mark.timeout(1200)


def test_a_daemon_without_standby_loses_its_way_to_the_database(
    by_its_own_way: Callable[..., Scene], way: HalfDead
) -> None:
    """When the network is back it goes on by itself, or has ended to be started again."""
    scene = by_its_own_way()
    scene.begin(clients=3, runs=8)
    scene.wait(0, 5)
    way.cut()
    scene.wait(5, 80)
    way.mend()
    print(f"the next run began {next_start(scene):.1f} s after the network was back")  # noqa: T201 - shown by -s
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
        longest = max(next_start(scene, B) for _ in range(4))
        print(f"at most {longest:.1f} s between two starts of the other code location")  # noqa: T201 - shown by -s
        way.mend()
        scene.drain()
    assert scene.verdict(starvation=False) == []


def next_start(scene: Scene, code_location: str | None = None) -> float:
    """The seconds until the daemon takes a run out of the queue, one of a code location if it is given."""
    began, before = time.monotonic(), begun(scene, code_location)

    def another() -> set[str]:
        scene.system.restart_ended()
        return begun(scene, code_location) - before

    wait_until("a run begins", another, every=0.1)
    return time.monotonic() - began


def begun(scene: Scene, code_location: str | None) -> set[str]:
    """The runs that the daemon has taken out of the queue so far, of all code locations or of one."""
    with scene.system.instance() as instance:
        runs = [run for run in instance.get_runs() if run.status is not DagsterRunStatus.QUEUED]
    return {run.run_id for run in runs if code_location is None or code_location_of(run) == code_location}
