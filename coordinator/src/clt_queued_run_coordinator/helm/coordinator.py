"""The run coordinator in Helm values: the one they name, whether it is in force, and its options."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from importlib import import_module

from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.helm.options import CUSTOM, RUN_COORDINATOR, option_findings
from clt_queued_run_coordinator.helm.values import HelmValues
from clt_queued_run_coordinator.helm.yaml import dotted
from clt_queued_run_coordinator.operate.finding import Finding

_PACKAGE = __name__.partition(".")[0]
_MODULE = CLTQueuedRunCoordinator.__module__
_CLASS = CLTQueuedRunCoordinator.__name__
_ALIKE = 0.8
"""How much a module's name must be like ours to be taken for a misspelling of it."""


def names_our_coordinator(values: HelmValues) -> bool:
    """Whether the values name this package's coordinator, be it with a misspelling."""
    custom = values.mapping(*CUSTOM)
    module, name = str(custom.get("module", "")), str(custom.get("class", ""))
    return bool(custom) and (
        name == _CLASS
        or module.partition(".")[0] == _PACKAGE
        or any(SequenceMatcher(None, module, ours).ratio() >= _ALIKE for ours in (_MODULE, _PACKAGE))
    )


def coordinator_findings(values: HelmValues) -> list[Finding]:
    """Findings on the name of the coordinator, on what makes Helm leave it out, and on its options.

    Only for values that name this package's coordinator.
    """
    return [*_name_findings(values), *_out_of_force(values), *option_findings(values)]


def _name_findings(values: HelmValues) -> Iterator[Finding]:
    custom = values.mapping(*CUSTOM)
    module, name = str(custom.get("module", "")), str(custom.get("class", ""))
    found = None
    if module.partition(".")[0] == _PACKAGE:
        try:
            found = import_module(module)
        except ImportError:
            found = None
    if found is None:
        yield Finding(
            what=f"there is no module {module!r}, so no daemon starts with it",
            where=values.where(*CUSTOM, "module"),
            cure=f"write {_MODULE!r}",
        )
        found = import_module(_MODULE)
    coordinator = getattr(found, name, None)
    if not (isinstance(coordinator, type) and issubclass(coordinator, CLTQueuedRunCoordinator)):
        yield Finding(
            what=f"module {found.__name__!r} has no run coordinator {name!r}, so no daemon starts with it",
            where=values.where(*CUSTOM, "class"),
            cure=f"write {_CLASS!r}",
        )


def _out_of_force(values: HelmValues) -> Iterator[Finding]:
    kind = values.get(*RUN_COORDINATOR, "type")
    if kind != "CustomRunCoordinator":
        is_now = f"is {kind!r}" if kind else "is not set"
        yield Finding(
            what=f"{dotted((*RUN_COORDINATOR, 'type'))!r} {is_now}, so customRunCoordinator is left out",
            where=values.where(*RUN_COORDINATOR, "type"),
            cure="write 'CustomRunCoordinator'",
        )
    if values.get(*RUN_COORDINATOR, "enabled") is False:
        yield Finding(
            what=f"{dotted((*RUN_COORDINATOR, 'enabled'))!r} is false, so the chart configures none",
            where=values.where(*RUN_COORDINATOR, "enabled"),
            cure="write true",
        )
