"""The overlay `pools`: what its Job does to an instance."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from tests.overlays.rendering import one, rendered

WEBSERVER = "dagster-dagster-webserver"


def job() -> dict[str, Any]:
    """The Job as the chart renders it."""
    return one(rendered("pools", settings=["dagsterWebserver.image.tag=2.3.4"]), "Job", "dagster-pools")


def test_it_runs_after_each_deployment_with_the_webservers_image() -> None:
    """As a hook of Helm, with what the instance needs."""
    objects = rendered("pools", settings=["dagsterWebserver.image.tag=2.3.4"])
    assert job()["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    webserver = one(objects, "Deployment", WEBSERVER)["spec"]["template"]["spec"]
    (page,) = [each for each in webserver["containers"] if each["name"] == "page"]
    assert container["image"] == webserver["containers"][0]["image"]
    assert [each for each in container["env"] if each["name"] != "POOLS"] == page["env"]


def test_it_sets_each_pool_to_its_limit(tmp_path: Path) -> None:
    """What was set before is overwritten; a pool that isn't named stays."""
    (tmp_path / "dagster.yaml").touch()
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    (pools,) = [each["value"] for each in container["env"] if each["name"] == "POOLS"]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(tmp_path),
        "POOLS": pools,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots("warehouse", 9)
        instance.event_log_storage.set_concurrency_slots("another", 3)
        subprocess.run(container["command"], env=environment, check=True, capture_output=True, timeout=120)
        limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {"warehouse": 4, "payment-api": 1, "another": 3}
