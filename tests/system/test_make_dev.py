"""The local trial, as `make dev` starts it."""

import os
from pathlib import Path

import requests
from harness.graphql import GraphQL, Launch
from harness.process import Process, free_port, listens
from harness.system import CODE_LOCATIONS, LOGS, ROOT
from harness.waiting import wait_until


def test_make_dev_serves_both_code_locations_and_plays_the_readmes_story(home: Path) -> None:
    """Both are loaded, with the trial's limits and no warning; new orders bring their invoices by themselves."""
    port, page = free_port(), free_port()
    log = home / LOGS / "make-dev.log"
    log.parent.mkdir(parents=True)
    command = ["make", "dev", f"STATE={home}", f"PORT={port}", f"PAGE_PORT={page}"]
    trial = Process("make dev", command, os.environ, ROOT, log)
    graphql = GraphQL(f"http://127.0.0.1:{port}")

    def loaded() -> bool:
        trial.ensure_running()
        statuses = graphql.load_statuses() if listens(port) else {}
        return statuses.keys() >= CODE_LOCATIONS.keys() and set(statuses.values()) == {"LOADED"}

    trial.start()
    try:
        wait_until("make dev serves both code locations", loaded)
        assert graphql.ask("{instance {runQueueConfig {maxConcurrentRuns}}}") == {
            "runQueueConfig": {"maxConcurrentRuns": 5}
        }
        assert "dagster.yaml" not in trial.output()
        assert f"http://127.0.0.1:{port}" in trial.output()
        assert f"http://127.0.0.1:{page}/" in trial.output()
        wait_until("the page of the queue is there", lambda: listens(page))
        assert f'href="http://127.0.0.1:{port}/"' in requests.get(f"http://127.0.0.1:{page}/", timeout=60).text
        assert (home / "workspace.yaml").resolve() == ROOT / "workspace.yaml", (
            "where the page finds code locations"
        )
        _new_orders_bring_their_invoices(graphql)
    finally:
        trial.stop()


def _new_orders_bring_their_invoices(graphql: GraphQL) -> None:
    """What the README tells: one click on the orders, and runs of the other code location start beside them."""
    graphql.launch(
        Launch("code-location-a", "orders_job", tags={"dagster/partition": "2026-01-01"}),
    )
    invoices = '{runsOrError(filter: {pipelineName: "invoices_job"}) {... on Runs {results {status tags {key}}}}}'

    def succeeded() -> bool:
        runs = graphql.ask(invoices)["results"]
        return bool(runs) and all(run["status"] == "SUCCESS" for run in runs)

    wait_until("the sensor launched the invoices of the new orders", succeeded)
