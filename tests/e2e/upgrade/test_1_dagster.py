"""From an older Dagster to the locked one and back, before and after the migration of the database."""

import json
import logging

import pytest
from harness.launches import A, B
from harness.waiting import wait_until

from tests.e2e.cluster import Cluster
from tests.e2e.command_line import command, status_of
from tests.e2e.deployment import Deployment
from tests.e2e.upgrade.release import (
    LIVE_LIMIT,
    dagster_version,
    drained_in_order,
    fill,
    moment,
    new_tag,
    newest_schema,
    queued,
    revision,
    roll_back,
    schema,
    upgrade,
)
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def old_schema(deployment: Deployment) -> str:
    """The schema's revision before everything: the newest of the older Dagster."""
    found = schema(deployment.cluster)
    assert found == newest_schema(deployment.cluster)
    log.info("Dagster %s, schema %s", dagster_version(deployment.cluster), found)
    return found


def live_changes_hold(cluster: Cluster) -> None:
    """The live limit of A and the pause of B are in force, and in the history."""
    line = status_of(cluster, A)
    assert (line["limit"], line["limit_from"]) == (LIVE_LIMIT, "live")
    assert status_of(cluster, B)["limit_from"] == "paused"
    told = json.loads(cluster.kubectl(*command("history", "--output", "json")))
    assert "the index is slow" in json.dumps(told)


def test_back_before_the_migration(
    deployment: Deployment, webserver: Webserver, cluster: Cluster, old_schema: str
) -> None:
    """New images without the migration, then a rollback, with runs queued: nothing is lost and limits hold."""
    old = revision(deployment)
    run_ids = fill(cluster, webserver)
    held_back = queued(webserver, run_ids, B)
    assert held_back
    upgrade(deployment, new_tag())
    live_changes_hold(cluster)
    assert schema(cluster) == old_schema
    roll_back(deployment, old)
    live_changes_hold(cluster)
    assert queued(webserver, run_ids, B) == held_back
    cluster.kubectl(*command("resume", B))
    drained_in_order(webserver, run_ids)


def test_the_upgrade_with_the_migration(
    deployment: Deployment, webserver: Webserver, cluster: Cluster, old_schema: str
) -> None:
    """The chart's Job migrates beside the new pods: nothing is lost, limits hold, live changes stay."""
    run_ids = fill(cluster, webserver)
    held_back = queued(webserver, run_ids, B)
    assert held_back
    upgrade(deployment, new_tag(), {"migrate.enabled": "true"})

    def migrated() -> float:
        jobs = [job for job in cluster.items("jobs") if "migrate" in job["metadata"]["name"]]
        ends = [job["status"]["completionTime"] for job in jobs if job["status"].get("succeeded")]
        return moment(ends[0]) - moment(jobs[0]["status"]["startTime"]) if ends else 0.0

    log.info("the migration's Job took %.0f s", wait_until("the database is migrated", migrated, every=2))
    assert schema(cluster) == newest_schema(cluster)
    log.info("Dagster %s, schema %s, before %s", dagster_version(cluster), schema(cluster), old_schema)
    live_changes_hold(cluster)
    assert queued(webserver, run_ids, B) == held_back
    cluster.kubectl(*command("resume", B))
    drained_in_order(webserver, run_ids)


def test_back_after_the_migration(deployment: Deployment, webserver: Webserver, cluster: Cluster) -> None:
    """The older Dagster goes on with the migrated database: on PostgreSQL no table differs."""
    migrated = schema(cluster)
    run_ids = fill(cluster, webserver)
    roll_back(deployment, revision(deployment) - 1)
    assert schema(cluster) == migrated
    live_changes_hold(cluster)
    cluster.kubectl(*command("resume", B))
    drained_in_order(webserver, run_ids)
