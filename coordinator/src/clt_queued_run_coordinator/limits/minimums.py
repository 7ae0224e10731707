"""Whether the slots that are kept for code locations and groups can be kept. Pure.

A live limit or a pause below a minimum is no contradiction: it bounds the minimum while it holds.
"""

from clt_queued_run_coordinator.limits.configuration import OPTION, CodeLocationLimits, ConfigurationError

NAMED_AT_MOST = 5
"""How many of those that slots are kept for a message names."""


def kept_slots(limits: CodeLocationLimits) -> dict[str, int]:
    """The slots that are kept, by the key of each group and of each code location in none, largest first.

    A group's are its own minimum or those of its code locations together, whichever is more.
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
    """The slots that are kept, and for whom in words, where they are more than the total.

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
    """Refuse minimums that can't all be kept at once.

    Args:
        limits: The option `code_location_limits`.
        total: The `max_concurrent_runs` in force; -1 for no such limit.
        total_key: Where it is given, for the message.

    Raises:
        ConfigurationError: They are more than the total.
    """
    above = minimums_above_total(limits, total)
    if above:
        needed, named = above
        raise ConfigurationError(
            f"{OPTION} keeps {needed} slots ({named}), and {total_key} is {total}; lower a min, or raise the total"
            f" to {needed} or more."
        )
