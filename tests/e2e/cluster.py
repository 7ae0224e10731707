"""The cluster that KUBECONFIG names, through kubectl."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Cluster:
    """One namespace of the cluster.

    Args:
        namespace: Its name; made when it isn't there.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace; its output, and where it isn't checked its errors too."""
        answer = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and answer.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {answer.stderr.strip()}")
        return answer.stdout if check else answer.stdout + answer.stderr

    def apply(self, manifests: Path, replaced: Mapping[str, str] | None = None) -> None:
        """Apply the manifests of a folder, or one file, with texts of them replaced."""
        files = sorted(manifests.glob("*.yaml")) if manifests.is_dir() else [manifests]
        text = "\n---\n".join(file.read_text() for file in files)
        for old, new in (replaced or {}).items():
            text = text.replace(old, new)
        self.kubectl("apply", "--filename=-", stdin=text)

    def delete_namespace(self) -> None:
        """Delete the namespace with all that is in it, and wait until it is gone."""
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=180s")

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """The objects of a kind, by a label selector."""
        found: list[dict[str, Any]] = json.loads(
            self.kubectl("get", kind, "--selector", selector, "--output", "json")
        )["items"]
        return found

    def pods(self, component: str) -> list[dict[str, Any]]:
        """The living pods of a component: `dagster-daemon`, `dagster-webserver` or a code location's name."""
        label = "component" if component.startswith("dagster-") else "deployment"
        return [
            pod for pod in self.items("pods", f"{label}={component}") if "deletionTimestamp" not in pod["metadata"]
        ]

    def delete_pods(self, *names: str, kill: bool = False) -> None:
        """Delete pods: asked to end as in a rollout, or killed without being asked."""
        self.kubectl("delete", "pod", *names, *(["--force", "--grace-period=0"] if kill else ["--wait=false"]))

    def wait_for_rollouts(self, seconds: int = 240) -> None:
        """Wait until every Deployment is rolled out."""
        self.kubectl("wait", "--for=condition=Available", "deployment", "--all", f"--timeout={seconds}s")
        for deployment in self.items("deployments"):
            name = deployment["metadata"]["name"]
            self.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={seconds}s")

    def keep_logs(self, folder: Path) -> None:
        """Write every pod's log and description, and the events, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "events.txt").write_text(self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False))
        (folder / "objects.txt").write_text(
            self.kubectl("get", "all,configmaps,pvc", "--output=wide", check=False)
        )
        for pod in self.items("pods"):
            name = pod["metadata"]["name"]
            logs = self.kubectl("logs", name, "--all-containers", "--prefix", "--tail=-1", check=False)
            (folder / f"{name}.log").write_text(logs)
            (folder / f"{name}.txt").write_text(self.kubectl("describe", "pod", name, check=False))


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether all containers of a pod are ready."""
    statuses = pod["status"].get("containerStatuses", [])
    return bool(statuses) and all(status["ready"] for status in statuses)
