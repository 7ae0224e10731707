"""Every query of the dashboard and the alerts, asked of a real Prometheus that scraped real runs of the demo."""

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import yaml
from clt_queued_run_coordinator.policy.changes import Kind
from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from harness.graphql import GraphQLError, Launch
from harness.launches import launch_of
from harness.process import Process, free_port, listens
from harness.prometheus import Prometheus
from harness.system import System, trial_config
from harness.waiting import wait_until

from scripts.operator_files import FOLDER

A, B = "code-location-a", "code-location-b"
LIMITS = {"sharing": "fair", "locations": {A: {"limit": 2, "max_queued": 1}, B: 2}}
ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
VARIABLES = {"$code_location": ".*", "$__rate_interval": "30s", "$__range": "1h"}
"""What Grafana puts in their place."""
OF_SLOTS = {"dagster_clt_in_progress_slots", "dagster_clt_limit_slots"}
"""Metrics that take the place of those of runs where a `slot` is configured, as it isn't here."""


def _launch(code_location: str) -> Launch:
    """A run that isn't retried: Dagster would retry a refused run too, and each refused retry counts."""
    return replace(launch_of(code_location, 0.1), tags={"dagster/max_retries": "0"})


@contextmanager
def _exporter(system: System, port: int) -> Iterator[Process]:
    process = system.process(
        "metrics", "clt_queued_run_coordinator.cli", "metrics", "--host", "127.0.0.1", "--port", str(port)
    )
    process.start()

    def serves() -> bool:
        process.ensure_running()
        return listens(port)

    try:
        wait_until("the metrics are served", serves)
        yield process
    finally:
        process.stop()


def _dashboard_queries() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    for variable, value in VARIABLES.items():
        queries = [query.replace(variable, value) for query in queries]
    assert not any("$" in query for query in queries)
    return queries


def _alert_queries() -> list[str]:
    groups = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def _wait_for_ends(instance: DagsterInstance, runs: int) -> None:
    wait_until("the runs have ended", lambda: instance.get_runs_count(RunsFilter(statuses=ENDED)) >= runs)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("prometheus")
def test_every_query_has_data(home: Path) -> None:
    """After runs that succeeded and a refused one, with a circuit breaker open."""
    port = free_port()
    with System(home, trial_config(code_location_limits=LIMITS)) as system, system.instance() as instance:
        live.pause(instance, A)
        system.graphql.launch(_launch(A))
        with pytest.raises(GraphQLError, match="max_queued"):
            system.graphql.launch(_launch(A))
        system.graphql.launch(_launch(B))
        live.resume(instance, A)
        _wait_for_ends(instance, 3)  # the refused one has failed
        folder = home / "prometheus"
        folder.mkdir()
        with (
            _exporter(system, port),
            Prometheus(folder, port, [FOLDER / "rules.yaml"]) as server,
        ):
            live.write(instance, Kind.BREAKER, A, True, reason="a try")
            for query in (
                'sum(dagster_clt_ends_total{outcome="success"}) >= 2',
                "sum(dagster_clt_refusals_total) == 1",
                'ALERTS{alertname="DagsterCircuitBreakerOpen"}',
                "rate(dagster_clt_starts_total[30s])",
            ):
                wait_until(f"there is {query}", functools.partial(server.query, query))
            without_data = [query for query in _dashboard_queries() if not server.query(query)]
            assert without_data == []
            for query in _alert_queries():
                server.query(query)
                for metric in {*re.findall(r"dagster_clt_\w+", query)} - OF_SLOTS:
                    assert server.query(metric), metric
            rules = requests.get(f"{server.url}/api/v1/rules", timeout=30).json()["data"]["groups"]
            assert {rule["health"] for group in rules for rule in group["rules"]} == {"ok"}
