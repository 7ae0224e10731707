"""The options of our run coordinator in Helm values, judged by the coordinator's own schema."""

import re
from collections.abc import Iterator
from typing import Any

from clt_queued_run_coordinator._dagster import (
    ConfigurableClassData,
    EvaluationError,
    resolve_to_config_type,
    validate_config,
)
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.helm.values import HelmValues
from clt_queued_run_coordinator.helm.yaml import Path, dotted
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.similar_names import most_similar

RUN_COORDINATOR = ("dagsterDaemon", "runCoordinator")
CUSTOM = (*RUN_COORDINATOR, "config", "customRunCoordinator")
OPTIONS = (*CUSTOM, "config")

_UNUSED = ConfigurableClassData("", "", "")


def option_findings(values: HelmValues) -> Iterator[Finding]:
    """What the coordinator refuses, which neither Helm nor the chart's schema looks at."""
    schema = resolve_to_config_type(CLTQueuedRunCoordinator.config_type())
    options = values.get(*OPTIONS)
    options = {} if options is None else options
    errors = validate_config(schema, options).errors or []
    for error in errors:
        yield from _schema_findings(values, schema, error)
    if not errors:
        yield from _refused_when_loaded(values, options)


def _schema_findings(values: HelmValues, schema: object, error: EvaluationError) -> Iterator[Finding]:
    path = _path(error)
    data: Any = error.error_data
    if error.reason.name in ("FIELD_NOT_DEFINED", "FIELDS_NOT_DEFINED"):
        known = _fields(schema, path)
        for name in getattr(data, "field_names", None) or [data.field_name]:
            near = most_similar(name, known)
            yield Finding(
                what=f"the coordinator has no option {dotted((*path, name))!r}, so no daemon starts with it",
                where=values.where(*OPTIONS, *path, name),
                cure=f"write {near!r}" if near else f"remove it, or write one of {', '.join(sorted(known))}",
            )
    elif error.reason.name in ("MISSING_REQUIRED_FIELD", "MISSING_REQUIRED_FIELDS"):
        missing = [repr(name) for name in getattr(data, "field_names", None) or [data.field_name]]
        yield Finding(
            what=f"{dotted(path) or 'the coordinator'!r} lacks {', '.join(missing)}, so no daemon starts with it",
            where=values.where(*OPTIONS, *path),
            cure="add it",
        )
    else:
        # Without the place, which is told as file and line, and the expected type, which is long.
        message = " ".join(error.message.split())
        message = re.sub(r" at path root\S*?(?=[.]? |$)", "", message).partition(" Expected")[0]
        yield Finding(
            what=f"the coordinator refuses {dotted(path) or 'its options'!r}: {message.rstrip('.')}",
            where=values.where(*OPTIONS, *path),
            cure="correct it",
        )


def _refused_when_loaded(values: HelmValues, options: dict[str, Any]) -> Iterator[Finding]:
    """What the class refuses where the schema can't say it, such as a negative number."""
    # What comes from an environment variable is known only where the daemon runs.
    known = {name: value for name, value in options.items() if not (isinstance(value, dict) and "env" in value)}
    try:
        CLTQueuedRunCoordinator.from_config_value(_UNUSED, known)
    except Exception as error:  # noqa: BLE001 - Dagster's checks and ours have no class in common
        message = " ".join(str(error).split()).removeprefix("Invariant failed. Description: ")
        key = message.partition(" ")[0].split(".")  # our messages begin with the key
        yield Finding(
            what=f"the coordinator refuses its options: {message.rstrip('.')}",
            where=values.where(*OPTIONS, *key),
            cure="correct it",
        )


def _path(error: EvaluationError) -> Path:
    """The path of an error below the options."""
    return tuple(
        getattr(entry, name)
        for entry in error.stack.entries
        for name in ("field_name", "list_index", "map_key")
        if hasattr(entry, name)
    )


def _fields(config_type: Any, path: Path) -> list[str]:
    """The names of the options at a path of the coordinator's schema."""
    config_type = _resolved(config_type)
    for part in path:
        fields = getattr(config_type, "fields", {})
        config_type = _resolved(fields[part].config_type if part in fields else config_type.inner_type)
    return list(getattr(config_type, "fields", {}))


def _resolved(config_type: Any) -> Any:
    """The type of the mapping or list within a type that allows something else as well."""
    while type(config_type).__name__ in ("Noneable", "ScalarUnion"):
        config_type = getattr(config_type, "inner_type", None) or config_type.non_scalar_type
    return config_type
