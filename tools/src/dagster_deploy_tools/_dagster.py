"""The one place of these tools that imports Dagster's private names."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import DagsterInvalidConfigError
from dagster._config import resolve_to_config_type, validate_config
from dagster._config.errors import EvaluationError
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.instance.config import dagster_instance_config, dagster_instance_config_schema
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._serdes import ConfigurableClassData

__all__ = [
    "CodeServer",
    "ConfigurableClassData",
    "DagsterInvalidConfigError",
    "EvaluationError",
    "dagster_instance_config_schema",
    "judge_instance_config",
    "resolve_to_config_type",
    "validate_config",
    "workspace_entries",
]


def judge_instance_config(config: Mapping[str, Any]) -> None:
    """Have Dagster read the content of a `dagster.yaml`, with its schema and its rules about what excludes what.

    Raises:
        DagsterInvalidConfigError: Dagster refuses it.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dagster.yaml").write_text(json.dumps(config))
        dagster_instance_config(folder)


class CodeServer:
    """A code server that runs by itself, as those of the Helm chart do.

    Args:
        origin: Dagster's `GrpcServerCodeLocationOrigin`.
    """

    def __init__(self, origin: Any) -> None:
        self._client = origin.create_client()

    def server_id(self) -> str | None:
        """The id that a code server gives itself when it starts; None if none answers within two seconds."""
        try:
            return str(self._client.get_server_id(timeout=2))
        except DagsterUserCodeUnreachableError:
            return None


def workspace_entries(file: Path) -> Iterator[tuple[str, CodeServer | None]]:
    """The code locations of a workspace file, each with its code server; None if Dagster itself starts that."""
    for origin in WorkspaceFileTarget([str(file)]).create_origins():
        is_server = type(origin).__name__ == "GrpcServerCodeLocationOrigin"
        yield origin.location_name, CodeServer(origin) if is_server else None
