"""The faults: each breaks one thing once, at a moment that the scene's seed chooses, and mends what it stopped."""

import time
from contextlib import suppress

import psutil
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus
from harness.waiting import wait_until
from tests.faults.scene import LIMITS, Scene


def kill_daemon(scene: Scene) -> None:
    """Kill the daemon and start it again."""
    scene.wait(0, 4)
    scene.system.daemon.kill()
    scene.wait(0, 3)
    scene.system.restart_ended()


def strand_a_run(scene: Scene) -> str:
    """Kill the daemon while it launches a run that its code server never hears of; returns the run's id."""
    name = scene.random.choice(sorted(LIMITS))
    server = scene.system.code_servers[name]

    def runs(status: DagsterRunStatus) -> list[str]:
        return [run.run_id for run in scene.open_runs(status) if run.tags[CLT_TAG_KEY] == name]

    # Queued before its code server stands still, after which none of its runs can be launched.
    scene.pause(name)
    wait_until(f"runs of {name} are queued", lambda: len(runs(DagsterRunStatus.QUEUED)) >= 2, every=0.1)
    psutil.Process(server.pid).suspend()
    launched = scene.run_ids_begun()
    scene.resume(name)
    (run_id, *_) = wait_until(
        f"a run of {name} is taken out of the queue",
        lambda: [run_id for run_id in runs(DagsterRunStatus.STARTING) if run_id not in launched],
        every=0.1,
    )
    scene.system.daemon.kill()
    server.kill()
    scene.system.restart_ended()
    return run_id


def kill_webserver(scene: Scene) -> None:
    """Kill the webserver while clients submit, and start it again."""
    scene.wait(0, 2)
    scene.system.webserver.kill()
    scene.wait(0, 3)
    scene.system.restart_ended()


def kill_code_server(scene: Scene) -> None:
    """Kill one code server; the runs that it started live on."""
    scene.wait(0, 2)
    scene.system.code_servers[scene.random.choice(sorted(LIMITS))].kill()
    scene.wait(0, 5)
    scene.system.restart_ended()


def kill_run_worker(scene: Scene) -> None:
    """Kill the process of one run."""
    scene.wait(0, 2)
    wait_until("a run worker to be killed", lambda: _kill_one_worker(scene), every=0.1)


def restart_postgresql(scene: Scene) -> None:
    """Restart PostgreSQL; every connection is lost."""
    scene.wait(0, 3)
    scene.postgresql.restart()


def stop_postgresql(scene: Scene) -> None:
    """Stop PostgreSQL for half a minute; what ends of itself meanwhile is started again."""
    scene.wait(0, 3)
    scene.postgresql.stop()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        time.sleep(2)  # the fault itself takes time
        scene.system.restart_ended()
    scene.postgresql.start()


def cut_connections(scene: Scene) -> None:
    """Cut every connection to the database several times."""
    for _ in range(8):
        scene.wait(0, 1)
        scene.postgresql.cut_connections(scene.database)


def change_limits(scene: Scene) -> None:
    """Change limits and pause code locations at random, then go back to what is configured."""
    for _ in range(6):
        name = scene.random.choice(sorted(LIMITS))
        change = scene.random.choice(["limit", "pause", "resume"])
        if change == "limit":
            scene.set_limit(name, scene.random.randrange(4))
        elif change == "pause":
            scene.pause(name)
        else:
            scene.resume(name)
        scene.wait(2, 6)
    for name in LIMITS:
        scene.resume(name)


FAULTS = [
    kill_daemon,
    kill_webserver,
    kill_code_server,
    kill_run_worker,
    restart_postgresql,
    stop_postgresql,
    cut_connections,
    change_limits,
]


def _kill_one_worker(scene: Scene) -> bool:
    """Whether a run's process was found and killed; each is a child of its code server."""
    workers = []
    with suppress(psutil.NoSuchProcess):
        for server in scene.system.code_servers.values():
            workers += [
                child
                for child in psutil.Process(server.pid).children()
                if any("spawn_main" in argument for argument in child.cmdline())
            ]
        if workers:
            scene.random.choice(sorted(workers, key=lambda worker: worker.pid)).kill()
            return True
    return False
