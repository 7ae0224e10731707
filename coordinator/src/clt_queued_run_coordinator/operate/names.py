"""Which names of code locations a command accepts."""

from collections.abc import Collection

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.operate import counts, now, workspace
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.similar_names import likely_meant


def known(instance: DagsterInstance, settings: Settings) -> set[str]:
    """The code locations that have a limit, have or had runs, or are in the workspace.

    Args:
        instance: The instance.
        settings: What its coordinator was configured with.
    """
    found = workspace.find()
    return {
        *now.read(instance, settings).state.limits,
        *counts.known_code_locations(instance),
        *(found.code_locations if found else ()),
    }


def refuse_unknown(name: str, names: Collection[str]) -> None:
    """Refuse a name that is not known.

    Args:
        name: The name.
        names: The known ones.

    Raises:
        RefusalError: It is refused; the message suggests the name that was likely meant.
    """
    if name in names:
        return
    meant = likely_meant(name, names)
    hint = f"did you mean {meant!r}?" if meant else f"known are: {', '.join(sorted(names)) or 'none'}."
    raise RefusalError(
        f"No run was ever queued from a code location {name!r}; {hint} --force accepts the name anyway."
    )


def can_be_a_name(name: str) -> bool:
    """Whether a code location can be called so."""
    return bool(name.strip()) and name != live.EVERY_CODE_LOCATION
