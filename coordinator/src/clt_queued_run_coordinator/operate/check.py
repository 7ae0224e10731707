"""The mistakes that `dagster-clt check` finds in an instance. Pure."""

from collections.abc import Collection, Iterator, Mapping

from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.operate.workspace import Workspace
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.text.similar_names import likely_meant

COORDINATOR = "dagster.yaml: run_coordinator"
CONCURRENCY = "dagster.yaml: concurrency.runs"
DATABASE = "the instance's database"

TAG_LIMITS = "tag_concurrency_limits"
"""This key of `concurrency.runs` replaces every limit of the coordinator by being there, even if it is empty."""


def findings_in_instance(
    state: QueueState,
    known: Collection[str],
    concurrency: Mapping[str, object],
    untagged: int,
    own_max_concurrent_runs: int | None,
    *,
    workspace: Workspace | None = None,
) -> list[Finding]:
    """The findings in an instance that uses this package's coordinator.

    Args:
        state: Its queue.
        known: The code locations that runs were ever queued from.
        concurrency: The instance's own `concurrency.runs`.
        untagged: How many queued runs lack the tag of their code location.
        own_max_concurrent_runs: The coordinator's own `max_concurrent_runs`; None if it isn't set.
        workspace: The workspace file, if one was found.
    """
    return [
        *_shadowed(concurrency, own_max_concurrent_runs),
        *_unknown(state, known, workspace),
        *_unreachable(state),
        *_unreachable_by_groups(state),
        *_untagged(untagged),
        *(Finding(line.partition(";")[0], DATABASE, "set it again") for line in state.live.unreadable),
    ]


def shadowed_by_tag_limits() -> Finding:
    """The instance's own tag limits replace those that the coordinator hands to the daemon."""
    return Finding(
        f"{TAG_LIMITS} replaces every limit that the coordinator hands to the daemon, even if it is empty: live"
        " limits and pauses hold only while the daemon's reading of the queue is narrowed",
        CONCURRENCY,
        f"take the key out, or move its entries to run_coordinator.config.{TAG_LIMITS}",
    )


def _shadowed(concurrency: Mapping[str, object], own_max_concurrent_runs: int | None) -> Iterator[Finding]:
    if TAG_LIMITS in concurrency:
        yield shadowed_by_tag_limits()
    replaced = concurrency.get("max_concurrent_runs")
    if replaced is not None and own_max_concurrent_runs not in (None, replaced):
        yield Finding(
            f"max_concurrent_runs {replaced} replaces the coordinator's {own_max_concurrent_runs}",
            CONCURRENCY,
            "set it in only one of the two places",
        )


def _unknown(state: QueueState, known: Collection[str], workspace: Workspace | None) -> Iterator[Finding]:
    """Limits for names that don't exist or, without a complete workspace file, that are most likely mistyped.

    That no run was ever queued from a code location is no mistake: it may be new, or run rarely.
    """
    limited = {*state.settings.code_location_limits.named_locations, *state.live.code_locations}
    existing = {*known, *(workspace.code_locations if workspace else ())}
    for name in sorted(limited - existing):
        similar = likely_meant(name, existing)
        if workspace and workspace.is_authoritative({*limited, *known}):
            what = f"no run was ever queued from a code location {name!r}, and it is not in {workspace.file}"
        elif similar:
            what = f"no run was ever queued from a code location {name!r}"
        else:
            continue
        yield Finding(
            what,
            DATABASE if name in state.live.code_locations else COORDINATOR,
            f"did you mean {similar!r}" if similar else "remove its limit if the code location is gone",
        )


def _unreachable(state: QueueState) -> Iterator[Finding]:
    for name, in_force in sorted(state.limits.items()):
        if in_force.limit is None or not 0 <= state.settings.max_concurrent_runs < in_force.limit:
            continue
        yield Finding(
            f"the limit {in_force.limit} of {name} can't be reached: max_concurrent_runs is"
            f" {state.settings.max_concurrent_runs}",
            DATABASE if in_force.source is Source.LIVE else COORDINATOR,
            f"raise max_concurrent_runs to {in_force.limit} or more",
        )


def _unreachable_by_groups(state: QueueState) -> Iterator[Finding]:
    for name, group in sorted(state.settings.code_location_limits.groups.items()):
        if group.limit is not None and 0 <= state.settings.max_concurrent_runs < group.limit:
            yield Finding(
                f"the limit {group.limit} of the group {name} can't be reached: max_concurrent_runs is"
                f" {state.settings.max_concurrent_runs}",
                COORDINATOR,
                f"raise max_concurrent_runs to {group.limit} or more",
            )


def _untagged(untagged: int) -> Iterator[Finding]:
    if untagged:
        yield Finding(
            "1 queued run lacks the tag of its code location"
            if untagged == 1
            else f"{untagged} queued runs lack the tag of their code location",
            DATABASE,
            "run `dagster-clt check --fix`, or wait for the daemon's next tick",
        )
