"""What an upgrade is judged by: the database's schema, the daemon's gap, and the runs' event log."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from harness.launches import A, B
from harness.waiting import wait_until

from tests.e2e.cluster import Cluster, is_ready
from tests.e2e.command_line import command, in_daemon
from tests.e2e.deployment import Deployment
from tests.e2e.runs import burst, held, histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
LIVE_LIMIT = 1
LIMITS = {A: LIVE_LIMIT, B: 3}
"""The limits in force in these tests: a live one of A, and the configured one of B."""
TOTAL = 5
SAME_TICK = 5.0
"""Seconds within which the runs of one tick start, in any order: several threads launch them."""

_HEAD = """
from pathlib import Path
import dagster._core.storage.alembic as versions
from alembic.config import Config
from alembic.script import ScriptDirectory
config = Config()
config.set_main_option("script_location", str(Path(list(versions.__path__)[0])))
print(ScriptDirectory.from_config(config).get_current_head())
"""


def old_tag() -> str:
    """The tag of the images with the older Dagster, which `make e2e-images MARKERS=upgrade` built."""
    return f"{os.environ['VERSION']}-dagster-{os.environ.get('DAGSTER', '1.12.19')}"


def new_tag() -> str:
    """The tag of the images with the locked Dagster."""
    return os.environ["VERSION"]


def schema(cluster: Cluster) -> str:
    """The schema's revision, as the database has it."""
    query = (
        'PGPASSWORD=$POSTGRES_PASSWORD psql -h localhost -U dagster -tAc "SELECT version_num FROM alembic_version"'
    )
    return cluster.kubectl("exec", "dagster-postgresql-0", "--", "sh", "-c", query).strip()


def newest_schema(cluster: Cluster) -> str:
    """The newest revision that the daemon's Dagster knows."""
    return cluster.kubectl(*in_daemon("python", "-c", _HEAD)).strip()


def dagster_version(cluster: Cluster) -> str:
    """The version of the daemon's Dagster."""
    code = "import dagster; print(dagster.__version__)"
    return cluster.kubectl(*in_daemon("python", "-c", code)).strip()


def daemon(cluster: Cluster) -> dict[str, Any]:
    """The daemon's pod, once there is one and it is ready."""

    def ready() -> dict[str, Any] | None:
        pods = cluster.pods("dagster-daemon")
        return pods[0] if len(pods) == 1 and is_ready(pods[0]) else None

    pod = wait_until("the daemon's pod is ready", ready, every=1)
    assert pod
    return pod


def without_daemon(cluster: Cluster, before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Seconds from the moment that the pod before was told to end until the pod after was ready."""
    ended = [
        event["lastTimestamp"] or event["eventTime"]
        for event in cluster.items("events")
        if event["reason"] == "Killing" and event["involvedObject"]["name"] == before["metadata"]["name"]
    ]
    (ready,) = [each for each in after["status"]["conditions"] if each["type"] == "Ready"]
    return moment(ready["lastTransitionTime"]) - min(moment(each) for each in ended)


def moment(text: str) -> float:
    """A time of Kubernetes, in seconds since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def upgrade(deployment: Deployment, tag: str, settings: Mapping[str, str] | None = None) -> None:
    """Upgrade the release to images, as docs/upgrade.md tells it."""
    before = daemon(deployment.cluster)
    deployment.version = tag
    deployment.upgrade(settings=settings)
    after = daemon(deployment.cluster)
    replaced = before["metadata"]["name"] != after["metadata"]["name"]
    seconds = without_daemon(deployment.cluster, before, after) if replaced else 0
    log.info("upgraded to %s; %.0f s without a ready daemon", tag, seconds)
    wait_for_images(deployment)


def roll_back(deployment: Deployment, revision: int) -> None:
    """Roll the release back."""
    before = daemon(deployment.cluster)
    deployment.helm("rollback", "dagster", str(revision), "--wait", "--timeout=600s")
    after = daemon(deployment.cluster)
    log.info("rolled back; %.0f s without a ready daemon", without_daemon(deployment.cluster, before, after))
    wait_for_images(deployment)


def wait_for_images(deployment: Deployment) -> None:
    """Wait until the webserver gives new runs the images that the code servers have now."""
    images = {
        name: pod["spec"]["containers"][0]["image"]
        for name in (A, B)
        for pod in deployment.cluster.pods(name)
        if is_ready(pod)
    }
    with closing(Webserver(deployment.cluster)) as webserver:
        webserver.wait_for_images(images)


def revision(deployment: Deployment) -> int:
    """The release's revision, which `helm rollback` takes."""
    secrets = deployment.cluster.items("secrets", "owner=helm,status=deployed")
    return max(int(secret["metadata"]["labels"]["version"]) for secret in secrets)


def fill(cluster: Cluster, webserver: Webserver) -> list[str]:
    """Runs queued and in progress of both code locations, with a live limit of A, and B paused under way."""
    cluster.kubectl(*command("set-limit", A, str(LIVE_LIMIT), "--reason", "the index is slow"))
    run_ids = webserver.launch([*burst(A, 3, seconds=5), *burst(B, 5, seconds=20)])
    wait_until(
        "a run of B has started, while others of it wait",
        lambda: any(run["tags"]["code_location"] == B for run in webserver.runs(run_ids, statuses=["STARTED"])),
        every=1,
    )
    cluster.kubectl(*command("pause", B))
    return run_ids


def queued(webserver: Webserver, run_ids: Sequence[str], code_location: str) -> set[str]:
    """The queued runs of a code location."""
    found = webserver.runs(run_ids, statuses=["QUEUED"])
    return {run["id"] for run in found if run["tags"]["code_location"] == code_location}


def drained_in_order(webserver: Webserver, run_ids: Sequence[str], limits: Mapping[str, int] = LIMITS) -> None:
    """Every run succeeds and started once, within the limits, those of a code location first come first served."""
    runs = wait_for_end(webserver, run_ids, seconds=600)
    succeeded(runs)
    found = histories(webserver, runs)
    assert {each.run_id: each.starts for each in found if each.starts != 1} == {}
    assert {each.run_id for each in found if len(each.in_progress) != 1} == set()
    held(found, limits, TOTAL)
    for code_location in limits:
        own = sorted(
            (each for each in found if each.code_location == code_location), key=lambda each: each.enqueued
        )
        starts = [each.in_progress[0].start for each in own]
        assert all(start <= later + SAME_TICK for number, start in enumerate(starts) for later in starts[number:])
