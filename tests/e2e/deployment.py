"""The release of the chart: how it is installed, changed and removed."""

import logging
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.chart import RELEASE, ROOT, VALUES, chart_arguments, location_names
from tests.e2e.cluster import Cluster

log = logging.getLogger(__name__)
TEST_CLUSTER = ROOT / "deploy" / "test-cluster.yaml"
STOCK = Path(__file__).with_name("stock.yaml")
EVERY_MINUTE = "* * * * *"


def limits() -> dict[str, int]:
    """The code locations' limits on the test cluster."""
    config = yaml.safe_load(TEST_CLUSTER.read_text())["dagsterDaemon"]["runCoordinator"]["config"]
    found: dict[str, int] = config["customRunCoordinator"]["config"]["code_location_limits"]["locations"]
    return found


class Deployment:
    """The release on the cluster.

    Args:
        cluster: The namespace it goes to.
        chart: What CHART says.
    """

    def __init__(self, cluster: Cluster, chart: str) -> None:
        self.cluster = cluster
        self.chart = chart
        self.registry = os.environ.get("REGISTRY", "localhost")
        self.version = os.environ["VERSION"]
        self.post_renderer: Path | None = None
        """The program that Helm pipes the release through, where an overlay brings one."""

    def image(self, name: str) -> tuple[str, str]:
        """Repository and tag of an image."""
        return f"{self.registry}/{name}", self.version

    def lists(self, images: Mapping[str, str], *, probe: bool) -> dict[str, str]:
        """What differs inside of the values' lists, which a values file could only replace as a whole.

        Args:
            images: Which image a code location has, where it isn't the one of its name.
            probe: Whether code servers have their startup probe.
        """
        values: dict[str, str] = {}
        for number, location in enumerate(location_names()):
            prefix = f"dagster-user-deployments.deployments[{number}]"
            repository, tag = self.image(images.get(location, location))
            values |= {f"{prefix}.image.repository": repository, f"{prefix}.image.tag": tag}
            values[f"{prefix}.startupProbe.enabled"] = str(probe).lower()
        values |= {
            "dagster-user-deployments.deployments[0].env[0].name": "REFRESH_SEARCH_INDEX_CRON",
            "dagster-user-deployments.deployments[0].env[0].value": EVERY_MINUTE,
        }
        return values

    def upgrade(
        self,
        *,
        stock_coordinator: bool = False,
        images: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        values_files: Sequence[Path] = (),
        more_values: Mapping[str, Any] | None = None,
        timeout: int = 600,
        wait: bool = True,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Install or upgrade the release, as `make deploy` does.

        Args:
            stock_coordinator: Dagster's own coordinator instead of ours.
            images: Which image a component has (daemon, webserver, or a code location's name), where it isn't the
                one that the values name.
            settings: More values, by their path.
            values_files: More values files, after the others.
            more_values: Values after those.
            timeout: Seconds that Helm waits.
            wait: Whether Helm waits until every pod is ready.
            check: Whether a failure is an error.

        Returns:
            Helm's answer.
        """
        images = images or {}
        values = self.lists(images, probe=not stock_coordinator)
        for component in ("daemon", "webserver"):
            repository, tag = self.image(images.get(component, "system"))
            key = f"dagster{component.capitalize()}.image"
            values |= {f"{key}.repository": repository, f"{key}.tag": tag}
        values["dagsterWebserver.extraContainers[0].image"] = ":".join(self.image("system"))
        if not stock_coordinator:
            values["dagsterWebserver.extraContainers[1].image"] = ":".join(self.image("system"))
            values["dagsterDaemon.extraContainers[0].image"] = ":".join(self.image("system"))
        values |= settings or {}
        files = [VALUES, TEST_CLUSTER, *([STOCK] if stock_coordinator else []), *values_files]
        return self.helm(
            "upgrade",
            "--install",
            RELEASE,
            *chart_arguments(self.chart),
            *(f"--values={file}" for file in files),
            "--values=-",
            *(f"--set-string={key}={value}" for key, value in values.items() if not key.endswith("enabled")),
            *(f"--set={key}={value}" for key, value in values.items() if key.endswith("enabled")),
            # The schema refers to addresses that a cluster without internet doesn't reach.
            "--skip-schema-validation",
            f"--timeout={timeout}s",
            *(["--wait"] if wait else []),
            *([f"--post-renderer={self.post_renderer}"] if self.post_renderer else []),
            stdin=yaml.safe_dump(dict(more_values or {})),
            check=check,
        )

    def helm(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Helm in the namespace."""
        answer = subprocess.run(
            ["helm", "--namespace", self.cluster.namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and answer.returncode:
            raise AssertionError(f"helm {arguments[0]}: {answer.stderr.strip()}")
        return answer

    def prepare(self) -> None:
        """Make the namespace, and the Secret with the password of the database."""
        self.cluster.kubectl("create", "namespace", self.cluster.namespace)
        self.cluster.kubectl(
            "create",
            "secret",
            "generic",
            "dagster-postgresql-secret",
            f"--from-literal=postgresql-password={secrets.token_hex(16)}",
        )

    def install(self) -> None:
        """Prepare, install the release and wait for its pods."""
        self.prepare()
        self.upgrade()

    def remove(self) -> None:
        """Remove the release, its runs and the database with its volume claim."""
        self.helm("uninstall", RELEASE, "--wait", "--timeout=120s", check=False)
        self.cluster.delete_namespace()
