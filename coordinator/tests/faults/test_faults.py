"""One thing breaks under a flood of runs; afterwards every acknowledged run has ended, within its limits.

Each failure prints the seed of its random moments: `make faults SEED=...` runs it again.
"""

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus, RunsFilter
from harness.waiting import wait_until
from tests.faults import faults
from tests.faults.clocks import set_clock
from tests.faults.scene import Scene

pytestmark = pytest.mark.timeout(1200)


def test_several_submitters_at_once(scene: Scene) -> None:
    """Six clients submit at the same time and nothing breaks: every run is tagged, queued and started once."""
    scene.begin(clients=6, runs=2)
    scene.drain()
    assert scene.verdict() == []
    assert scene.flood.refused == []


def test_the_daemon_is_killed(scene: Scene) -> None:
    """Killed twice at random moments, it goes on with the queue; a run stranded by it is failed and retried."""
    scene.begin()
    faults.kill_daemon(scene)
    faults.kill_daemon(scene)
    scene.drain()
    assert scene.verdict() == []


def test_a_run_is_stranded(scene: Scene) -> None:
    """Stranded between STARTING and its launch, it is failed by run monitoring and its retry succeeds."""
    scene.begin()
    run_id = faults.strand_a_run(scene)
    scene.drain()
    assert scene.verdict(starvation=False) == []
    with scene.system.instance() as instance:
        run = instance.get_run_by_id(run_id)
        assert run
        assert run.status is DagsterRunStatus.FAILURE
        assert any(
            "to start." in entry.user_message + (entry.message or "") for entry in instance.all_logs(run_id)
        )


def test_the_webserver_is_killed(scene: Scene) -> None:
    """Killed while clients submit: what it acknowledged ends, what it did not is no run or a run that ends."""
    scene.begin()
    faults.kill_webserver(scene)
    scene.drain()
    assert scene.verdict() == []


def test_a_code_server_is_killed(scene: Scene) -> None:
    """Its runs go back into the queue until it is there again; the other code location's go on."""
    scene.begin()
    faults.kill_code_server(scene)
    scene.drain()
    assert scene.verdict(starvation=False) == []


def test_a_run_worker_is_killed(scene: Scene) -> None:
    """The run ends FAILED, its slot is free again and its retry succeeds."""
    scene.begin()
    faults.kill_run_worker(scene)
    scene.drain()
    assert scene.verdict() == []


def test_postgresql_is_restarted(scene: Scene) -> None:
    """Daemon and webserver go on with new connections."""
    scene.begin()
    faults.restart_postgresql(scene)
    scene.drain()
    assert scene.verdict() == []


def test_postgresql_is_stopped(scene: Scene) -> None:
    """After half a minute without a database the queue drains."""
    scene.begin()
    faults.stop_postgresql(scene)
    scene.drain()
    assert scene.verdict() == []


def test_connections_are_cut(scene: Scene) -> None:
    """Cut in the middle of statements, they are opened anew."""
    scene.begin()
    faults.cut_connections(scene)
    scene.drain()
    assert scene.verdict() == []


def test_limits_change_meanwhile(scene: Scene) -> None:
    """Set, cleared, paused and resumed at random: no start breaks a limit that its tick could read."""
    scene.begin(clients=3, runs=6)
    faults.change_limits(scene)
    scene.drain()
    assert scene.changes
    assert scene.verdict(starvation=False) == []


@pytest.mark.parametrize(
    ("submitter", "daemon"),
    [pytest.param(600, -600, id="daemon behind"), pytest.param(-600, 90, id="daemon ahead")],
)
def test_clocks_differ(scene: Scene, submitter: int, daemon: int) -> None:
    """With webserver and daemon minutes apart limits hold, by the order in which the event log was written.

    A daemon further ahead than the longest run time would end every run: Dagster measures it by two clocks.
    """
    set_clock(scene.system.webserver, submitter)
    set_clock(scene.system.daemon, daemon)
    scene.system.wait_for_webserver()
    scene.begin()
    scene.drain()
    assert scene.verdict(clocks_differ=True) == []


def test_a_code_location_is_removed(scene: Scene) -> None:
    """Its queued runs end FAILED, without holding a slot or the others back; Dagster can't retry them."""
    scene.pause("code-location-a")
    scene.begin()
    wait_until("every run is queued", lambda: not scene.flood.running)
    scene.system.write_workspace(["code-location-b"])
    for program in (scene.system.daemon, scene.system.webserver):
        program.stop()
        program.start()
    scene.resume("code-location-a")
    scene.drain()
    assert scene.verdict(starvation=False) == []
    with scene.system.instance() as instance:
        ended = {run.status for run in instance.get_runs(RunsFilter(tags={CLT_TAG_KEY: "code-location-a"}))}
    assert DagsterRunStatus.FAILURE in ended
