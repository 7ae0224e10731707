"""A dump of a deployment under load, restored into a new one of the same name: the queue goes on."""

import json
import logging
import time

import pytest
from harness.launches import A, B
from harness.waiting import wait_until

from tests.e2e.cluster import Cluster
from tests.e2e.command_line import command, in_daemon, status_of
from tests.e2e.deployment import Deployment
from tests.e2e.restore import recipe
from tests.e2e.runs import burst, held, histories, wait_for_end, wait_for_retries
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
LIMITS = {A: 1, B: 3}
"""A live limit of A, and the configured one of B."""
TOTAL = 5
KEPT = 2
SCRAPE = "import urllib.request as u; print(u.urlopen('http://localhost:9464/metrics').read().decode())"


@pytest.fixture(scope="module")
def before(cluster: Cluster, webserver: Webserver) -> dict[str, list[str]]:
    """The runs by their status at the time of the backup: ended, in progress and queued."""
    cluster.kubectl(*command("set-limit", A, "1", "--reason", "the index is slow"))
    run_ids = webserver.launch([*burst(A, 3, seconds=1), *burst(B, 4, seconds=100)])
    wait_until(
        "a run of A has started, and those of B that may",
        lambda: (
            len(webserver.runs(run_ids, statuses=["STARTED", "SUCCESS"])) > LIMITS[B]
            and len(webserver.runs(run_ids, statuses=["STARTED"])) >= LIMITS[B]
        ),
        every=1,
    )
    cluster.kubectl(*command("pause", A))
    wait_until(
        "no run of A is in progress",
        lambda: len(webserver.runs(run_ids, statuses=["STARTING", "STARTED"])) == LIMITS[B],
        every=1,
    )
    return by_status(webserver, run_ids)


def by_status(webserver: Webserver, run_ids: list[str]) -> dict[str, list[str]]:
    """The runs' ids by their status."""
    found: dict[str, list[str]] = {}
    for run in webserver.runs(run_ids):
        found.setdefault(run["status"], []).append(run["id"])
    return {status: sorted(ids) for status, ids in found.items()}


def starts_counted(cluster: Cluster) -> dict[str, int]:
    """The counter of starts of each code location, as the exporter tells it."""
    text = cluster.kubectl(*in_daemon("python", "-c", SCRAPE, container="metrics"))
    return {
        code_location: int(float(line.split()[-1]))
        for line in text.splitlines()
        for code_location in (A, B)
        if line.startswith("dagster_clt_starts_total") and f'"{code_location}"' in line
    }


def test_the_nightly_job_keeps_the_newest_dumps(
    cluster: Cluster, before: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each dump has its name only when it can be read, and the oldest go."""
    assert before["QUEUED"]
    cluster.apply(recipe.OVERLAY / "manifests")
    cluster.kubectl("set", "env", "cronjob/dagster-backup", f"KEEP={KEPT}")
    (first,) = recipe.back_up_now(cluster, "first-backup")
    recipe.copy_out(cluster, first, tmp_path_factory.getbasetemp() / "nightly.dump")
    second = recipe.back_up_now(cluster, "second-backup")
    third = recipe.back_up_now(cluster, "third-backup")
    assert (len(second), len(third)) == (KEPT, KEPT)
    assert first in second
    assert third[0] == second[1]


def test_a_dump_by_hand(
    cluster: Cluster, before: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The recipe's pg_dump is in PostgreSQL's custom format."""
    assert before["STARTED"]
    began = time.monotonic()
    dumped = recipe.dump(cluster)
    log.info("pg_dump took %.1f s, %d kB", time.monotonic() - began, len(dumped) / 1000)
    assert dumped.startswith(b"PGDMP")
    (tmp_path_factory.getbasetemp() / "by_hand.dump").write_bytes(dumped)


def test_the_queue_goes_on_in_another_place(
    deployment: Deployment,
    webserver: Webserver,
    cluster: Cluster,
    before: dict[str, list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Queued runs start, those that lost their pod are retried, limits hold and live changes are there."""
    counted = starts_counted(cluster)
    log.info("starts counted before: %s", counted)
    log.info("removing the release, its database and its namespace")
    deployment.remove()
    webserver.close()
    log.info("installing it anew, with an empty database")
    deployment.install()
    assert webserver.runs() == []
    webserver.close()

    recipe.stop(cluster)
    began = time.monotonic()
    recipe.restore(cluster, tmp_path_factory.getbasetemp() / "nightly.dump")
    log.info("pg_restore took %.1f s", time.monotonic() - began)
    recipe.start(cluster, "dagster-webserver")
    run_ids = [run_id for ids in before.values() for run_id in ids]
    assert by_status(webserver, run_ids) == before

    restarted = time.time()
    recipe.start(cluster, "dagster-daemon")
    assert status_of(cluster, A)["limit_from"] == "paused"
    assert "the index is slow" in json.dumps(json.loads(cluster.kubectl(*command("history", "--output", "json"))))
    cluster.kubectl(*command("resume", A))
    assert (status_of(cluster, A)["limit"], status_of(cluster, A)["limit_from"]) == (LIMITS[A], "live")

    wait_until(
        "run monitoring has failed the runs that lost their pods",
        lambda: len(webserver.runs(before["STARTED"], statuses=["FAILURE"])) == len(before["STARTED"]),
        seconds=300,
        every=1,
    )
    log.info("the runs without a pod had failed %.0f s after the daemon's start", time.time() - restarted)
    retries = wait_for_retries(webserver, before["STARTED"])
    every_run = [*run_ids, *(run["id"] for run in retries)]
    runs = wait_for_end(webserver, every_run, seconds=900)
    failed = {run["id"] for run in runs if run["status"] != "SUCCESS"}
    assert failed == set(before["STARTED"])
    found = histories(webserver, runs)
    held(found, LIMITS, TOTAL)
    assert {each.starts for each in found} == {1}
    expected = {
        name: sum(len(each.in_progress) for each in found if each.code_location == name) for name in LIMITS
    }
    log.info("starts in the event log: %s", expected)
    wait_until("the counter agrees with the event log", lambda: starts_counted(cluster) == expected, every=2)
