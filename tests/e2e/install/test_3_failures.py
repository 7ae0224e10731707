"""Pods that go in the middle of a burst: first as in a rollout, then without being asked. Then a network."""

import logging
import time
from typing import Any

from harness.waiting import wait_until

from tests.chart import location_names
from tests.e2e.deployment import Deployment, limits
from tests.e2e.half_dead import WayToKubernetes
from tests.e2e.runs import ENDS, burst, held, histories, reached, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)


def launch_bursts(webserver: Webserver, count: int) -> list[str]:
    """Launch runs of every code location and wait until the first are in progress."""
    log.info("launching %d runs of each code location", count)
    run_ids = webserver.launch(
        [launch for location in location_names() for launch in burst(location, count, seconds=4)]
    )
    wait_until_ended(webserver, run_ids, 2)
    return run_ids


def wait_until_ended(webserver: Webserver, run_ids: list[str], count: int) -> None:
    """Wait until some of the runs ended, so that others are in progress and others queued."""
    wait_until(
        f"{count} runs ended",
        lambda: sum(run["status"] in ENDS.values() for run in webserver.runs(run_ids)) >= count,
        every=1,
    )


def names(deployment: Deployment, component: str) -> list[str]:
    """The names of a component's pods."""
    return [pod["metadata"]["name"] for pod in deployment.cluster.pods(component)]


def with_retries(webserver: Webserver, run_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The runs of each of these runs' retry groups: itself and its retries."""
    runs = webserver.runs()
    return {root: [run for run in runs if root in {run["id"], run["rootRunId"]}] for root in run_ids}


def is_well(webserver: Webserver, group: list[dict[str, Any]]) -> bool:
    """Whether a run or one of its retries did all of its work.

    A worker that loses the database between its only step and the end of its run leaves a run that is FAILED and
    that Dagster does not retry, since no step is left (docs/how-it-works.md).
    """
    if any(run["status"] == "SUCCESS" for run in group):
        return True
    steps = [{kind for kind, _ in webserver.events(run["id"]) if kind.startswith("STEP_")} for run in group]
    return any("STEP_SUCCESS" in kinds and "STEP_FAILURE" not in kinds for kinds in steps)


def wait_until_all_well(webserver: Webserver, run_ids: list[str]) -> list[dict[str, Any]]:
    """Wait until each of the runs, or its retry, did all of its work; these runs and their retries."""
    seen: dict[str, list[str]] = {}

    def all_well() -> bool:
        nonlocal seen
        groups = with_retries(webserver, run_ids).items()
        missing = {
            root: [run["status"] for run in group]
            for root, group in groups
            if not (all(run["status"] in ENDS.values() for run in group) and is_well(webserver, group))
        }
        if missing != seen:
            log.info("not yet: %s", missing)
        seen = missing
        return not missing

    log.info("waiting until each run, or its retry, succeeded")
    wait_until("each run, or its retry, succeeded", all_well, seconds=420, every=3)
    runs = [run for group in with_retries(webserver, run_ids).values() for run in group]
    log.info("%d runs failed and were retried", len(runs) - len(run_ids))
    return runs


def test_no_run_is_lost_when_pods_are_replaced(deployment: Deployment, webserver: Webserver) -> None:
    """The daemon's pod, then a code location's, are deleted: every run ends well, none runs twice."""
    run_ids = launch_bursts(webserver, 8)
    log.info("deleting the daemon's pod")
    deployment.cluster.delete_pods(*names(deployment, "dagster-daemon"))
    wait_until_ended(webserver, run_ids, 7)
    log.info("deleting the pod of %s", location_names()[0])
    deployment.cluster.delete_pods(*names(deployment, location_names()[0]))
    runs = wait_for_end(webserver, run_ids)
    succeeded(runs)
    assert [len(group) for group in with_retries(webserver, run_ids).values()] == [1] * len(runs)
    found = histories(webserver, runs)
    assert [each for each in found if each.starts != 1] == []
    held(found, limits(), total=5)
    reached(found, limits())
    deployment.cluster.wait_for_rollouts()


def test_the_queue_drains_by_itself_after_a_crash(deployment: Deployment, webserver: Webserver) -> None:
    """The daemon is killed and the database's pod deleted: each run does its work, at the latest its retry."""
    run_ids = launch_bursts(webserver, 7)
    log.info("killing the daemon's pod, deleting the database's")
    deployment.cluster.delete_pods(*names(deployment, "dagster-daemon"), kill=True)
    deployment.cluster.delete_pods("dagster-postgresql-0")
    deployment.cluster.wait_for_rollouts()
    held(histories(webserver, wait_until_all_well(webserver, run_ids)), limits(), total=5)


def test_a_half_dead_way_to_kubernetes(deployment: Deployment, webserver: Webserver) -> None:
    """Launches hang: none is made twice, no limit is exceeded, and the daemon goes on when the network does."""
    way = WayToKubernetes(deployment.cluster)
    run_ids = launch_bursts(webserver, 8)
    log.info("dropping what the daemon sends to the API server")
    with way.cut():
        wait_until(
            "new connections of launches of both code locations fail",
            lambda: daemon_log(deployment).count("ConnectTimeoutError") >= len(location_names()),
            every=2,
        )
        log.info("%d launches hang", daemon_log(deployment).count("The daemon goes on without it"))
    mended = time.time()
    found = histories(webserver, wait_until_all_well(webserver, run_ids))
    assert [each for each in found if each.starts > 1] == []
    held(found, limits(), total=5)
    after = [start.start for each in found for start in each.in_progress if start.start > mended]
    log.info("the next run left the queue %.1f s after the network was back", min(after) - mended)


def daemon_log(deployment: Deployment) -> str:
    """What the daemon has logged since its pod began."""
    return deployment.cluster.kubectl("logs", "deployment/dagster-daemon", "--container=dagster")
