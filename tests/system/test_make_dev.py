"""The local trial, as `make dev` starts it."""

import os
from pathlib import Path

from demo.graphql import GraphQL
from demo.process import Process, free_port, listens
from demo.system import CODE_LOCATIONS, LOGS, ROOT
from demo.waiting import wait_until


def test_make_dev_serves_both_code_locations(home: Path) -> None:
    """The webserver has both code locations and the trial's limits; nothing is warned of at the start."""
    port = free_port()
    log = home / LOGS / "make-dev.log"
    log.parent.mkdir(parents=True)
    command = ["make", "dev", f"STATE={home}", f"PORT={port}"]
    trial = Process("make dev", command, os.environ, ROOT, log)
    graphql = GraphQL(f"http://127.0.0.1:{port}")

    def loaded() -> bool:
        trial.ensure_running()
        return listens(port) and graphql.load_statuses() == dict.fromkeys(CODE_LOCATIONS, "LOADED")

    trial.start()
    try:
        wait_until("make dev serves both code locations", loaded)
        assert graphql.ask("{instance {runQueueConfig {maxConcurrentRuns}}}") == {
            "runQueueConfig": {"maxConcurrentRuns": 5}
        }
        assert "dagster.yaml" not in trial.output()
        assert f"http://127.0.0.1:{port}" in trial.output()
    finally:
        trial.stop()
