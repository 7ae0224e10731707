"""Checks that the minimums of code locations and groups fit into `max_concurrent_runs`. Pure.

A live limit or a pause below a minimum is no contradiction. It caps the minimum while it is in force.
"""

from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import OPTION, CodeLocationLimits

NAMED_AT_MOST = 5
"""The most code locations and groups that a message names."""


def kept_slots(limits: CodeLocationLimits) -> dict[str, int]:
    """The reserved slots by the key of each group and of each code location without a group, largest first.

    For a group it is its own minimum or the sum of its code locations' minimums, whichever is larger.
    """
    slots = {
        f"groups.{name}": max(group.min, sum(limits.entry(location).min for location in group.locations))
        for name, group in limits.groups.items()
    }
    slots |= {
        f"locations.{name}": entry.min for name, entry in limits.entries.items() if name not in limits.group_of
    }
    return {name: slots[name] for name in sorted(slots, key=lambda name: (-slots[name], name)) if slots[name]}


def minimums_above_total(limits: CodeLocationLimits, total: int) -> tuple[int, str] | None:
    """The reserved slots and a text that says for whom, if there are more of them than the total.

    Args:
        limits: The option `code_location_limits`.
        total: The `max_concurrent_runs` in force; -1 for no such limit.
    """
    slots = kept_slots(limits)
    needed = sum(slots.values())
    if not 0 <= total < needed:
        return None
    named = [f"{name} {number}" for name, number in list(slots.items())[:NAMED_AT_MOST]]
    named += [f"and {len(slots) - NAMED_AT_MOST} more"] if len(slots) > NAMED_AT_MOST else []
    return needed, ", ".join(named)


def refuse_minimums_above_total(limits: CodeLocationLimits, total: int, total_key: str) -> None:
    """Refuse minimums that add up to more than `max_concurrent_runs`.

    Args:
        limits: The option `code_location_limits`.
        total: The `max_concurrent_runs` in force; -1 for no such limit.
        total_key: The key that sets it, for the message.

    Raises:
        ConfigurationError: The minimums add up to more than the total.
    """
    above = minimums_above_total(limits, total)
    if above:
        needed, named = above
        raise ConfigurationError(
            f"{OPTION} reserves {needed} slots ({named}), but {total_key} is {total}; lower a min, or raise the"
            f" total to {needed} or more."
        )
