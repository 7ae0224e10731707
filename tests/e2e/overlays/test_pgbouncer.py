"""A release on a PostgreSQL of its own behind two PgBouncers, and what happens when their pool is too small."""

import logging
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from harness.launches import A, B
from harness.waiting import wait_until

from tests.chart import ROOT, location_names
from tests.e2e.cluster import Cluster
from tests.e2e.command_line import command
from tests.e2e.conftest import release
from tests.e2e.deployment import Deployment, limits
from tests.e2e.runs import burst, held, histories, reached, succeeded, wait_for_end, wait_for_retries
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
OVERLAY = ROOT / "deploy" / "overlays" / "pgbouncer"
HERE = Path(__file__).parent
WAIT_SECONDS = 5


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Deployment]:
    """The database, the overlay's manifests and the release with its values."""
    with release(request, cluster, "pgbouncer") as prepared:
        cluster.apply(HERE / "postgres.yaml")
        apply_manifests(prepared)
        cluster.wait_for_rollouts()
        prepared.upgrade(values_files=[OVERLAY / "values.yaml"])
        yield prepared


def apply_manifests(deployment: Deployment, replaced: Mapping[str, str] | None = None) -> None:
    """The overlay's manifests, with the database and the image of the tests."""
    of_the_tests = {
        "db.example.com": "external-db",
        "registry.example.com/dagster/pgbouncer:1.0.0": ":".join(deployment.image("pgbouncer")),
    }
    deployment.cluster.apply(OVERLAY / "manifests", {**of_the_tests, **(replaced or {})})


def psql(host: str, statement: str) -> list[str]:
    """A command of kubectl that asks a PgBouncer or the database itself."""
    database = "pgbouncer" if statement.startswith("SHOW POOLS") else "dagster"
    port = 5432 if host == "external-db" else 6432
    script = f'PGPASSWORD=$POSTGRES_PASSWORD psql -qAt -h {host} -p {port} -U dagster {database} -c "{statement}"'
    return ["exec", "deployment/external-db", "--", "sh", "-c", script]


def pgbouncers(cluster: Cluster) -> list[str]:
    """The addresses of the PgBouncers."""
    return [pod["status"]["podIP"] for pod in cluster.items("pods", "app.kubernetes.io/name=pgbouncer")]


def test_every_connection_comes_through_the_pool(deployment: Deployment, webserver: Webserver) -> None:
    """Runs of both code locations succeed within their limits; the database sees PgBouncer alone."""
    cluster = deployment.cluster
    run_ids = webserver.launch([launch for name in location_names() for launch in burst(name, 4, seconds=3)])
    clients = "SELECT DISTINCT host(client_addr) FROM pg_stat_activity WHERE client_addr IS NOT NULL"
    asking = cluster.kubectl(*psql("external-db", "SELECT host(inet_client_addr())")).strip()
    seen: set[str] = set()

    def ended() -> bool:
        seen.update(cluster.kubectl(*psql("external-db", clients)).split())
        return len(webserver.runs(run_ids, statuses=["SUCCESS"])) == len(run_ids)

    wait_until("the runs have ended", ended, seconds=400, every=1)
    assert seen <= {asking, *pgbouncers(cluster)}
    runs = webserver.runs(run_ids)
    succeeded(runs)
    found = histories(webserver, runs)
    held(found, limits(), total=5)
    reached(found, limits())
    for address in pgbouncers(cluster):
        log.info("SHOW POOLS of %s: %s", address, cluster.kubectl(*psql(address, "SHOW POOLS")))


def test_a_setting_of_one_client_doesnt_reach_the_next(deployment: Deployment) -> None:
    """Each webserver sets a statement_timeout on its connections, which the daemon's must not get."""
    cluster = deployment.cluster
    for address in pgbouncers(cluster):
        for _ in range(5):
            cluster.kubectl(*psql(address, "SET statement_timeout = 15000"))
            assert cluster.kubectl(*psql(address, "SHOW statement_timeout")).strip() == "0"


def test_a_limit_is_changed_live(deployment: Deployment, webserver: Webserver) -> None:
    """The command line writes and reads through the pool, and `check` finds nothing wrong."""
    cluster = deployment.cluster
    cluster.kubectl(*command("set-limit", B, "1", "--reason", "a test"))
    try:
        run_ids = webserver.launch(burst(B, 3, seconds=2))
        runs = wait_for_end(webserver, run_ids)
        succeeded(runs)
        held(histories(webserver, runs), {B: 1}, total=5)
        cluster.kubectl(*command("check"))
    finally:
        cluster.kubectl(*command("clear-limit", B))


def test_pgbouncer_is_replaced_under_runs(deployment: Deployment, webserver: Webserver) -> None:
    """A rollout of PgBouncer cuts off no run, no tick, and no launch after it."""
    run_ids = webserver.launch([launch for name in location_names() for launch in burst(name, 4, seconds=4)])
    wait_until("a run is in progress", lambda: webserver.runs(run_ids, statuses=["STARTED"]), every=1)
    deployment.cluster.kubectl("rollout", "restart", "deployment/pgbouncer")
    deployment.cluster.kubectl("rollout", "status", "deployment/pgbouncer", "--timeout=240s")
    wait_until("the replaced ones are gone", lambda: len(pgbouncers(deployment.cluster)) == 2, every=1)
    run_ids += webserver.launch(burst(A, 1, seconds=1))
    succeeded(wait_for_end(webserver, run_ids))


def test_a_full_pool_gives_errors_and_the_queue_goes_on_after_it(
    deployment: Deployment, webserver: Webserver
) -> None:
    """With its one connection taken, PgBouncer ends the daemon's wait; the daemon lives on and recovers."""
    cluster = deployment.cluster
    leave_one_connection(deployment)
    (daemon,) = cluster.pods("dagster-daemon")
    run_ids = webserver.launch(burst(A, 2, seconds=1))
    (address,) = pgbouncers(cluster)
    taken = subprocess.Popen(
        ["kubectl", "--namespace", cluster.namespace, *psql(address, "BEGIN; SELECT pg_sleep(60)")]
    )
    try:
        wait_until(
            "PgBouncer ends a wait",
            lambda: "query_wait_timeout" in cluster.kubectl("logs", "deployment/pgbouncer", "--tail=-1"),
            every=1,
        )
    finally:
        taken.wait(120)
    # A run that was dequeued and not launched any more fails, when run monitoring finds no Job of it.
    cut_off = [run["id"] for run in wait_for_end(webserver, run_ids) if run["status"] == "FAILURE"]
    log.info("%d of %d runs were cut off at their launch", len(cut_off), len(run_ids))
    retries = [run["id"] for run in wait_for_retries(webserver, cut_off)]
    later = webserver.launch(burst(A, 1, seconds=1))
    succeeded(wait_for_end(webserver, [*(set(run_ids) - set(cut_off)), *retries, *later]))
    assert [pod["metadata"]["uid"] for pod in cluster.pods("dagster-daemon")] == [daemon["metadata"]["uid"]]


def leave_one_connection(deployment: Deployment) -> None:
    """One PgBouncer with one connection to the database, for which a client waits a few seconds."""
    cluster = deployment.cluster
    apply_manifests(
        deployment,
        {
            "default_pool_size = 20": "default_pool_size = 1",
            "query_wait_timeout = 120": f"query_wait_timeout = {WAIT_SECONDS}",
        },
    )
    cluster.kubectl("scale", "deployment/pgbouncer", "--replicas=1")
    cluster.kubectl("rollout", "restart", "deployment/pgbouncer")
    cluster.kubectl("rollout", "status", "deployment/pgbouncer", "--timeout=240s")
    wait_until("one PgBouncer is left", lambda: len(pgbouncers(cluster)) == 1, every=1)
