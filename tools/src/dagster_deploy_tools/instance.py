"""What Helm values bring into `dagster.yaml`, judged by Dagster itself.

The chart writes the run coordinator and `concurrency` into it, and then `additionalInstanceConfig` as it is. Where
a key is there twice, the later one counts.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.safe import one_line
from clt_queued_run_coordinator.text.similar_names import most_similar

from dagster_deploy_tools._dagster import (
    DagsterInvalidConfigError,
    EvaluationError,
    dagster_instance_config_schema,
    judge_instance_config,
    resolve_to_config_type,
)
from dagster_deploy_tools.values import Values
from dagster_deploy_tools.yaml_file import Path, dotted

ADDITIONAL = "additionalInstanceConfig"
CONCURRENCY = "concurrency"
RUN_COORDINATOR = "run_coordinator"
RUN_QUEUE = "run_queue"

_BY_THE_CHART = (
    *("scheduler", "run_launcher", "run_storage", "event_log_storage", "schedule_storage", "compute_logs"),
    RUN_COORDINATOR,
)
"""Classes that the chart writes into dagster.yaml."""
_ANY_CLASS = {"module": "any", "class": "Any", "config": {}}


class Instance:
    """The `dagster.yaml` that values make, as far as they can make it wrong.

    Args:
        values: The values.
    """

    def __init__(self, values: Values) -> None:
        self._values = values

    @cached_property
    def raw(self) -> dict[str, Any]:
        """What `additionalInstanceConfig` brings; Helm drops a key whose value is null."""
        return {key: value for key, value in self._values.block(ADDITIONAL).items() if value is not None}

    @cached_property
    def of_the_chart(self) -> dict[str, Any]:
        """The chart's own `concurrency`, in which it writes only what says something."""
        parts = {part: self._values.block(CONCURRENCY, part) for part in ("pools", "runs")}
        said = {
            part: {snake_case(key): value for key, value in keys.items() if value not in (None, [], "")}
            for part, keys in parts.items()
        }
        return {part: keys for part, keys in said.items() if keys and self._values.get(CONCURRENCY, "enabled")}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of dagster.yaml; the chart's classes are only hinted at."""
        chart = {CONCURRENCY: self.of_the_chart} if self.of_the_chart else {}
        return {**dict.fromkeys(_BY_THE_CHART, _ANY_CLASS), **chart, **self.raw}

    @property
    def runs(self) -> dict[str, Any]:
        """The instance's `concurrency.runs`, whose keys replace those of a coordinator."""
        concurrency = self.config.get(CONCURRENCY)
        runs = concurrency.get("runs") if isinstance(concurrency, dict) else None
        return dict(runs) if isinstance(runs, dict) else {}

    def path(self, *path: str | int) -> Path:
        """Where the values have a key of dagster.yaml."""
        if not path or path[0] in self.raw:
            return (ADDITIONAL, *path)
        return tuple(_camel(part) if isinstance(part, str) else part for part in path)

    def replaced(self, key: str, of_the_chart: Path, gone: str = "") -> Finding:
        """The finding that `additionalInstanceConfig` has a key which the chart writes too."""
        what = f"{dotted((ADDITIONAL, key))!r} replaces all of {dotted(of_the_chart)!r}, because the chart writes"
        what += f" both into dagster.yaml, where the last one counts{gone}"
        cure = "remove it" if gone else "move what it says into the other, and keep one"
        return self._values.finding((ADDITIONAL, key), what, cure)

    def findings(self) -> Iterator[Finding]:
        """What Dagster refuses, and what stands twice."""
        if CONCURRENCY in self.raw and self.of_the_chart:
            yield self.replaced(CONCURRENCY, (CONCURRENCY,))
        if "instance_class" in self.raw:  # has a schema of its own, in a module that isn't here
            return
        try:
            judge_instance_config(self.config)
        except Exception as error:  # noqa: BLE001 - where a value has a wrong type, Dagster raises whatever comes
            if isinstance(error, DagsterInvalidConfigError) and error.errors:
                schema = dagster_instance_config_schema()
                yield from config_findings(self._values, error.errors, schema, "dagster.yaml", self.path)
                return
            message = one_line(str(error)).partition(" Error")[0]
            path = self.path(next((key for key in self.raw if f"`{key}`" in message), CONCURRENCY))
            what = f"Dagster refuses {dotted(path)!r}, so nothing starts: {message.rstrip('.')}"
            cure = "correct it"
            if path[-1] == RUN_QUEUE:
                cure = "move what it says to the coordinator's options, and remove it"
            yield self._values.finding(path, what, cure)


def config_findings(
    values: Values, errors: Sequence[EvaluationError], schema: Any, whose: str, place: Callable[..., Path]
) -> Iterator[Finding]:
    """One finding for each mistake that Dagster's configuration system found.

    Args:
        values: The values.
        errors: The mistakes.
        schema: The schema that they were found with.
        whose: Whose configuration it is.
        place: Returns the path in the values of a path in the configuration.
    """
    for error in errors:
        path = tuple(
            getattr(entry, name)
            for entry in error.stack.entries
            for name in ("field_name", "list_index", "map_key")
            if hasattr(entry, name)
        )
        data: Any = error.error_data
        names = getattr(data, "field_names", None) or [getattr(data, "field_name", "")]
        if error.reason.name in ("FIELD_NOT_DEFINED", "FIELDS_NOT_DEFINED"):
            known = _fields(resolve_to_config_type(schema), path)
            for name in names:
                near = most_similar(name, known)
                yield values.finding(
                    place(*path, name),
                    f"{whose} has no option {dotted((*path, name))!r}, so no daemon starts with it",
                    f"write {near!r}" if near else f"remove it, or write one of {', '.join(sorted(known))}",
                )
        elif error.reason.name in ("MISSING_REQUIRED_FIELD", "MISSING_REQUIRED_FIELDS"):
            lacks = f"{dotted(path) or whose!r} lacks {', '.join(map(repr, names))}, so no daemon starts with it"
            yield values.finding(place(*path), lacks, "add it")
        else:
            # Without the place, which is told as file and line, and the expected type, which is long.
            message = re.sub(r" at path root\S*?(?=[.]? |$)", "", " ".join(error.message.split()))
            message = one_line(message.partition(" Expected")[0]).rstrip(".")
            what = f"{whose} refuses {dotted(path) or 'its options'!r}: {message}"
            yield values.finding(place(*path), what, "correct it")


def _fields(config_type: Any, path: Path) -> list[str]:
    """The names of the options at a path of a schema."""
    for part in (*path, None):
        while type(config_type).__name__ in ("Noneable", "ScalarUnion"):  # allow something else as well
            config_type = getattr(config_type, "inner_type", None) or config_type.non_scalar_type
        fields = getattr(config_type, "fields", {})
        if part is not None:
            config_type = fields[part].config_type if part in fields else config_type.inner_type
    return list(fields)


def snake_case(key: str) -> str:
    """A key of the chart as Dagster writes it."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key)


def _camel(key: str) -> str:
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), key)
