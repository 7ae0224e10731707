"""Runs from every source, more than the limits let start: each is a Job, each is tagged, the limits hold."""

import logging
from typing import Any

import pytest
from harness.graphql import repository
from harness.waiting import wait_until

from tests.chart import location_names
from tests.e2e.deployment import Deployment, limits
from tests.e2e.runs import TAG, burst, held, histories, reached, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
START_SCHEDULE = """
mutation($selector: ScheduleSelector!) {
  startSchedule(scheduleSelector: $selector) {
    ... on Error { message }
    ... on ScheduleStateResult { scheduleState { id } }
  }
}
"""
STOP_SCHEDULE = "mutation($id: String!) { stopRunningSchedule(id: $id) { ... on Error { message } } }"
START_SENSOR = """
mutation($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { ... on Error { message } ... on Sensor { sensorState { id } } }
}
"""
STOP_SENSOR = "mutation($id: String!) { stopSensor(id: $id) { ... on Error { message } } }"
BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    ... on Error { message }
    ... on LaunchBackfillSuccess { backfillId }
  }
}
"""


@pytest.fixture(scope="module")
def runs(webserver: Webserver) -> list[dict[str, Any]]:
    """Bursts to both code locations, a schedule's tick, a sensor's tick and a backfill; all ended."""
    before = {run["id"] for run in webserver.runs()}
    log.info("starting the schedule and the sensor, launching bursts and a backfill")
    schedule = webserver.ask_once(
        START_SCHEDULE,
        selector={**repository("code-location-a"), "scheduleName": "refresh_search_index_schedule"},
    )
    sensor = webserver.ask_once(
        START_SENSOR, selector={**repository("code-location-b"), "sensorName": "new_orders"}
    )
    webserver.launch([launch for location in location_names() for launch in burst(location, 8, seconds=4)])
    backfill = webserver.ask_once(
        BACKFILL, params={"assetSelection": [{"path": ["orders"]}], "partitionNames": DAYS, "tags": []}
    )["backfillId"]
    tags = {
        "dagster/schedule_name": ("refresh_search_index_schedule", 1),
        "dagster/backfill": (backfill, len(DAYS)),
        "dagster/sensor_name": ("new_orders", len(DAYS)),
    }
    for key, (value, count) in tags.items():
        log.info("waiting for %d runs tagged %s", count, key)
        wait_until(
            f"{count} runs tagged {key}",
            lambda key=key, value=value, count=count: (  # type: ignore[misc]
                len(webserver.runs(tags=[{"key": key, "value": value}])) >= count
            ),
            seconds=240,
            every=2,
        )
        if key == "dagster/schedule_name":
            webserver.ask(STOP_SCHEDULE, id=schedule["scheduleState"]["id"])
    webserver.ask(STOP_SENSOR, id=sensor["sensorState"]["id"])
    return wait_for_end(webserver, [run["id"] for run in webserver.runs() if run["id"] not in before])


def test_every_run_succeeds(runs: list[dict[str, Any]]) -> None:
    """No run is lost or fails."""
    succeeded(runs)


def test_every_run_is_tagged_by_its_code_location(runs: list[dict[str, Any]]) -> None:
    """Whatever launched a run, its tag is its code location's name."""
    assert {run["id"]: run["tags"].get(TAG) for run in runs} == {
        run["id"]: run["repositoryOrigin"]["repositoryLocationName"] for run in runs
    }


def test_every_run_is_a_job_with_its_code_location(deployment: Deployment, runs: list[dict[str, Any]]) -> None:
    """Each run is one Kubernetes Job whose label names the same code location as the tag."""
    labels = [job["metadata"]["labels"] for job in deployment.cluster.items("jobs", "dagster/run-id")]
    jobs = [(each["dagster/run-id"], each["dagster/code-location"]) for each in labels]
    for run in runs:
        assert [location for run_id, location in jobs if run_id == run["id"]] == [run["tags"][TAG]]


def test_run_pods_are_not_root(deployment: Deployment, runs: list[dict[str, Any]]) -> None:
    """The security contexts of the values reach the pods of the runs."""
    for run in runs:
        (pod,) = deployment.cluster.items("pods", f"dagster/run-id={run['id']}")
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] == 1000
        assert pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_limits_hold_and_are_reached(webserver: Webserver, runs: list[dict[str, Any]]) -> None:
    """No code location is ever above its limit, and each reaches it while more of its runs wait."""
    found = histories(webserver, runs)
    held(found, limits(), total=5)
    reached(found, limits())
