"""This package's run coordinator in Helm values: whether it is in force, and its options judged by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib import import_module

from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.safe import one_line

from dagster_deploy_tools._dagster import ConfigurableClassData, resolve_to_config_type, validate_config
from dagster_deploy_tools.instance import ADDITIONAL, CONCURRENCY, RUN_COORDINATOR, Instance, config_findings
from dagster_deploy_tools.values import Values
from dagster_deploy_tools.yaml_file import Path, dotted

OF_CHART: Path = ("dagsterDaemon", "runCoordinator")
CUSTOM: Path = (*OF_CHART, "config", "customRunCoordinator")
RAW: Path = (ADDITIONAL, RUN_COORDINATOR)

MAX = "max_concurrent_runs"
TAG_LIMITS = "tag_concurrency_limits"
LIMITS = "code_location_limits"

_MODULE, _CLASS = CLTQueuedRunCoordinator.__module__, CLTQueuedRunCoordinator.__name__
_PACKAGE = _MODULE.partition(".")[0]
_ALIKE = 0.8
"""How much a module's name must be like ours to be taken for a misspelling of it."""


@dataclass(frozen=True)
class Loaded:
    """Our coordinator with the options of the values.

    Attributes:
        coordinator: The coordinator.
        options: The path of its options.
    """

    coordinator: CLTQueuedRunCoordinator
    options: Path


def is_ours(values: Values, path: Path) -> bool:
    """Whether the values name this package's coordinator at a path, be it with a misspelling."""
    named = values.block(*path)
    module, name = str(named.get("module", "")), str(named.get("class", ""))
    return bool(named) and (
        name == _CLASS
        or module.partition(".")[0] == _PACKAGE
        or any(SequenceMatcher(None, module, ours).ratio() >= _ALIKE for ours in (_MODULE, _PACKAGE))
    )


def names_our_coordinator(values: Values) -> bool:
    """Whether the values name this package's coordinator in one of the two places for it."""
    return is_ours(values, RAW) or is_ours(values, CUSTOM)


def coordinator_findings(values: Values, instance: Instance) -> tuple[list[Finding], Loaded | None]:
    """Findings on our coordinator, and the coordinator itself if it can be loaded."""
    path, findings = CUSTOM, list(_out_of_force(values))
    if RUN_COORDINATOR in instance.raw:
        path, gone = (
            RAW,
            "" if is_ours(values, RAW) else ", so this coordinator and all its limits are silently gone",
        )
        findings = [instance.replaced(RUN_COORDINATOR, OF_CHART, gone)] if is_ours(values, CUSTOM) else []
        if gone:
            return findings, None
    findings += _name_findings(values, path)
    loaded = _load(values, (*path, "config"))
    return (findings, loaded) if isinstance(loaded, Loaded) else ([*findings, *loaded], None)


def _name_findings(values: Values, path: Path) -> Iterator[Finding]:
    named = values.block(*path)
    module, name = str(named.get("module", "")), str(named.get("class", ""))
    found = None
    if module.partition(".")[0] == _PACKAGE:
        try:
            found = import_module(module)
        except ImportError:
            found = None
    if found is None:
        what = f"there is no module {module!r}, so no daemon starts with it"
        yield values.finding((*path, "module"), what, f"write {_MODULE!r}")
        found = import_module(_MODULE)
    coordinator = getattr(found, name, None)
    if not (isinstance(coordinator, type) and issubclass(coordinator, CLTQueuedRunCoordinator)):
        what = f"module {found.__name__!r} has no run coordinator {name!r}, so no daemon starts with it"
        yield values.finding((*path, "class"), what, f"write {_CLASS!r}")


def _out_of_force(values: Values) -> Iterator[Finding]:
    path: Path = (*OF_CHART, "type")
    kind = values.get(*path)
    if kind != "CustomRunCoordinator":
        is_now = f"is {kind!r}" if kind else "is not set"
        what = f"{dotted(path)!r} {is_now}, so customRunCoordinator is left out"
        yield values.finding(path, what, "write 'CustomRunCoordinator'")
    for path, consequence in (
        ((*OF_CHART, "enabled"), "the chart configures none"),
        ((OF_CHART[0], "enabled"), "there is no daemon, and no run starts"),
    ):
        if values.get(*path) is False:
            yield values.finding(path, f"{dotted(path)!r} is false, so {consequence}", "write true")


def _load(values: Values, path: Path) -> Loaded | list[Finding]:
    """The coordinator, or why it refuses its options, which neither Helm nor the chart's schema looks at."""
    schema = CLTQueuedRunCoordinator.config_type()
    options = values.get(*path)
    options = {} if options is None else options
    errors = validate_config(resolve_to_config_type(schema), options).errors
    if errors:
        return list(config_findings(values, errors, schema, "the coordinator", lambda *below: (*path, *below)))
    # What comes from an environment variable is known only where the daemon runs.
    known = {name: value for name, value in options.items() if not (isinstance(value, dict) and "env" in value)}
    try:
        coordinator = CLTQueuedRunCoordinator.from_config_value(ConfigurableClassData("", "", ""), known)
    except Exception as error:  # noqa: BLE001 - Dagster's checks and ours have no class in common
        return [_refusal(values, path, error)]
    return Loaded(coordinator, path)


def _refusal(values: Values, options: Path, error: Exception) -> Finding:
    """What our class refuses where the schema can't say it, such as a negative number."""
    message = one_line(str(error)).removeprefix("Invariant failed. Description: ").rstrip(".")
    key = message.partition(" ")[0].split(".")  # our messages begin with the key, and end with the cure
    what, semicolon, cure = message.rpartition("; ")
    what = f"the coordinator refuses its options: {what or message}"
    return values.finding((*options, *key), what, cure if semicolon else "correct it")


def shadowed_findings(values: Values, instance: Instance, ours: Loaded) -> Iterator[Finding]:
    """What the instance's `concurrency.runs` replaces of our coordinator's own settings."""
    path = instance.path(CONCURRENCY, "runs", TAG_LIMITS)
    if TAG_LIMITS in instance.runs:
        key = f"the instance's {dotted(path)!r}" + (", empty or not," if path[0] == ADDITIONAL else "")
        yield values.finding(
            path,
            f"{key} would replace the coordinator's {LIMITS!r}, so no daemon starts with it"
            if ours.coordinator.settings.code_location_limits != CodeLocationLimits()
            else f"{key} replaces every limit of the coordinator, live changes and pauses included",
            f"take the key out, or move its entries to the coordinator's {TAG_LIMITS!r}",
        )
    path = instance.path(CONCURRENCY, "runs", MAX)
    total, own = instance.runs.get(MAX), values.get(*ours.options, MAX)
    if None not in (total, own) and total != own:
        what = f"the instance's {dotted(path)!r}, {total}, replaces the coordinator's {MAX!r}, {own}"
        yield values.finding(path, what, "set it in only one of the two places")
    try:
        ours.coordinator.settings.refuse_unfit({MAX: total} if isinstance(total, int) else {})
    except ConfigurationError as error:
        yield _refusal(values, ours.options, error)
