"""Two daemons, one of them a standby, under a flood of runs: whatever befalls the first one, the second goes on.

How long it took until the next run began is printed; see `docs/faults.md`.
"""

import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from clt_queued_run_coordinator._dagster import run_database
from clt_queued_run_coordinator.daemon import lease
from harness.half_dead import HalfDead
from harness.process import Process
from harness.waiting import wait_until
from tests.faults.scene import Scene

pytestmark = pytest.mark.timeout(1200)


class Pair:
    """The scene, its daemon as the leader, whose way to the database is a proxy, and a standby."""

    def __init__(self, scene: Scene, way: HalfDead) -> None:
        self.scene = scene
        self.way = way
        self.leader = scene.system.daemon
        self.standby = scene.system.process(
            "standby", "dagster._daemon", "run", "--workspace", str(scene.system.workspace)
        )

    def leads(self, daemon: Process) -> bool:
        """Whether a daemon holds the lease."""
        with self.scene.system.instance() as instance, run_database(instance).connect() as connection:
            leader = lease.read(connection)
        return bool(leader and leader.process.endswith(f" process {daemon.pid}"))

    def begin(self) -> None:
        """Start the standby and a flood that lasts."""
        self.standby.start()
        wait_until("the standby waits", lambda: "is the standby" in self.standby.output())
        self.scene.begin(clients=3, runs=8)

    def next_start(self, since: float) -> None:
        """Wait for the first run that the standby takes out of the queue, and tell how long that took."""
        wait_until("the standby leads", lambda: self.leads(self.standby), every=0.1)
        before = self.scene.run_ids_begun()
        wait_until("the standby starts a run", lambda: self.scene.run_ids_begun() - before, every=0.1)
        print(f"the next run began {time.monotonic() - since:.1f} s later")  # noqa: T201 - shown by -s

    def drain(self) -> None:
        """Let all end, with the first daemon as the standby of the second."""
        self.scene.drain()
        assert self.scene.verdict(starvation=False) == []


@pytest.fixture
def pair(by_its_own_way: Callable[..., Scene], way: HalfDead) -> Iterator[Pair]:
    """Both daemons, on one PostgreSQL."""
    pair = Pair(by_its_own_way(standby=True), way)
    wait_until("the first daemon leads", lambda: pair.leads(pair.leader), every=0.1)
    try:
        yield pair
    finally:
        pair.standby.stop()


def test_the_leader_is_killed(pair: Pair) -> None:
    """SIGKILL: nobody tells the standby, and the lease expires."""
    pair.begin()
    pair.scene.wait(0, 3)
    pair.leader.kill()
    pair.next_start(time.monotonic())
    pair.drain()


def test_the_leader_is_stopped(pair: Pair) -> None:
    """SIGTERM, as in a rollout: it gives the lease up."""
    pair.begin()
    pair.scene.wait(0, 3)
    began = time.monotonic()
    pair.leader.stop()
    pair.next_start(began)
    pair.drain()


def test_the_leader_is_suspended(pair: Pair) -> None:
    """SIGSTOP at a random moment of a tick: when it goes on, the standby leads, and it ends by itself."""
    pair.begin()
    pair.scene.wait(0, 5)
    began = time.monotonic()
    psutil.Process(pair.leader.pid).suspend()
    pair.next_start(began)
    psutil.Process(pair.leader.pid).resume()
    assert pair.leader.wait(60) == 1
    pair.drain()


def test_the_leader_loses_its_way_to_the_database(pair: Pair) -> None:
    """Its connections stay open and nothing gets through. When the network is back it ends by itself."""
    pair.begin()
    pair.scene.wait(0, 5)
    began = time.monotonic()
    pair.way.cut()
    pair.next_start(began)
    pair.way.mend()
    mended = time.monotonic()
    assert pair.leader.wait(120) == 1
    print(f"it ended {time.monotonic() - mended:.1f} s after the network was back")  # noqa: T201 - shown by -s
    pair.drain()
