"""`dagster-clt` in the daemon's pod."""

import json
from typing import Any

from tests.e2e.cluster import Cluster


def in_daemon(*arguments: str, container: str = "dagster") -> list[str]:
    """The arguments of kubectl that run a program in the daemon's pod."""
    return ["exec", "deployment/dagster-daemon", f"--container={container}", "--", *arguments]


def command(*arguments: str) -> list[str]:
    """The arguments of kubectl that run `dagster-clt` in the daemon's pod."""
    return in_daemon("dagster-clt", *arguments)


def status_of(cluster: Cluster, code_location: str) -> dict[str, Any]:
    """What `dagster-clt status` says of a code location."""
    found = json.loads(cluster.kubectl(*command("status", "--output", "json")))
    lines: list[dict[str, Any]] = found["code_locations"]
    return next(line for line in lines if line["code_location"] == code_location)
