"""The commands that a distribution of its own brings: `dagster-deploy-tools`, which this package doesn't need."""

from importlib import import_module
from typing import Any

from clt_queued_run_coordinator.text.refusal import RefusalError


def tool(module: str) -> Any:
    """A module of those tools; RefusalError where they aren't installed."""
    try:
        return import_module(f"dagster_deploy_tools.{module}")
    except ModuleNotFoundError as error:
        raise RefusalError(
            f"this needs the distribution dagster-deploy-tools, and Python finds no module {error.name!r}; install"
            " it from the deployment's repository (`pip install ./tools`), or use the image `system`"
        ) from error
