"""Instances to measure: a `dagster.yaml` for each coordinator, all on the same storage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance
from tests.run_queue import MODULE, RunQueue

CLASSES = {
    "plain": ("dagster._core.run_coordinator", "QueuedRunCoordinator"),
    "clt": (MODULE, "CLTQueuedRunCoordinator"),
}
"""Module and class of each coordinator; the published one has the same names as ours."""


def write_home(
    home: Path,
    coordinator: str,
    storage: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    concurrency: Mapping[str, Any] | None = None,
) -> Path:
    """Make a DAGSTER_HOME.

    Args:
        home: The folder, made here.
        coordinator: A key of `CLASSES`.
        storage: The `storage` of its `dagster.yaml`.
        config: The coordinator's options.
        concurrency: The instance's own setting of that name.
    """
    module, name = CLASSES[coordinator]
    home.mkdir(parents=True)
    content = {
        "storage": dict(storage),
        "run_coordinator": {"module": module, "class": name, "config": dict(config or {})},
        "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
        "telemetry": {"enabled": False},
        **({"concurrency": dict(concurrency)} if concurrency else {}),
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(content))
    return home


def postgresql_storage(url: str) -> dict[str, Any]:
    """A database of PostgreSQL as `storage`."""
    return {"postgres": {"postgres_url": url}}


def sqlite_storage(folder: Path) -> dict[str, Any]:
    """SQLite files as `storage`."""
    return {"sqlite": {"base_dir": str(folder)}}


def open_queue(home: Path) -> RunQueue:
    """The queue of the instance in a DAGSTER_HOME."""
    return RunQueue(DagsterInstance.from_config(str(home)))
