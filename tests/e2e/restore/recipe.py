"""The steps of docs/backup.md."""

import subprocess
from pathlib import Path

from harness.waiting import wait_until

from tests.chart import ROOT
from tests.e2e.cluster import Cluster

OVERLAY = ROOT / "deploy" / "overlays" / "backup"
DATABASE = "dagster-postgresql-0"
PASSWORD = "PGPASSWORD=$POSTGRES_PASSWORD"  # noqa: S105 - the shell's variable, in the database's pod
TO = "--host=localhost --username=dagster"
CLIENTS = ("dagster-daemon", "dagster-webserver")
"""What writes to the database by itself, as the pods' label `component` has it."""
DEPLOYMENTS = {"dagster-daemon": "dagster-daemon", "dagster-webserver": "dagster-dagster-webserver"}


def dump(cluster: Cluster) -> bytes:
    """Dump the database by hand."""
    return _binary(cluster, "exec", DATABASE, "--", "sh", "-c", f"{PASSWORD} pg_dump --format=custom {TO} dagster")


def back_up_now(cluster: Cluster, name: str) -> list[str]:
    """Run the overlay's CronJob at once; the dumps that are there afterwards, the oldest first."""
    cluster.kubectl("create", "job", "--from=cronjob/dagster-backup", name)
    cluster.kubectl("wait", "--for=condition=Complete", f"job/{name}", "--timeout=240s")
    return [word for word in cluster.kubectl("logs", f"job/{name}").split() if word.endswith(".dump")]


def copy_out(cluster: Cluster, name: str, file: Path) -> None:
    """Copy a dump out of the overlay's volume claim."""
    cluster.apply(OVERLAY / "reader.yaml")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/backup-reader", "--timeout=240s")
    file.write_bytes(_binary(cluster, "exec", "backup-reader", "--", "cat", f"/backup/{name}"))
    cluster.kubectl("delete", "--filename", str(OVERLAY / "reader.yaml"), "--grace-period=0", "--force")


def stop(cluster: Cluster) -> None:
    """Stop the daemon and the webserver, and wait until their pods are gone."""
    for component in CLIENTS:
        cluster.kubectl("scale", f"deployment/{DEPLOYMENTS[component]}", "--replicas=0")
    wait_until(
        "daemon and webserver are gone",
        lambda: not any(cluster.items("pods", f"component={component}") for component in CLIENTS),
        every=1,
    )


def restore(cluster: Cluster, file: Path) -> None:
    """Restore a dump over what the database holds."""
    with file.open("rb") as dumped:
        answer = subprocess.run(
            [
                *("kubectl", "--namespace", cluster.namespace, "exec", "--stdin", DATABASE, "--", "sh", "-c"),
                f"{PASSWORD} pg_restore --clean --if-exists --no-owner --single-transaction {TO} --dbname=dagster",
            ],
            stdin=dumped,
            capture_output=True,
            text=True,
            check=False,
        )
    assert answer.returncode == 0, answer.stderr


def start(cluster: Cluster, component: str) -> None:
    """Start the daemon or the webserver again."""
    name = f"deployment/{DEPLOYMENTS[component]}"
    cluster.kubectl("scale", name, "--replicas=1")
    cluster.kubectl("rollout", "status", name, "--timeout=300s")


def _binary(cluster: Cluster, *arguments: str) -> bytes:
    answer = subprocess.run(
        ["kubectl", "--namespace", cluster.namespace, *arguments], capture_output=True, check=False
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return answer.stdout
