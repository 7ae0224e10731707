"""What is wrong with an instance: findings. Pure."""

from collections.abc import Collection, Iterator, Mapping

from clt_queued_run_coordinator.check.finding import Finding
from clt_queued_run_coordinator.check.workspace import Workspace
from clt_queued_run_coordinator.limits.in_force import Source
from clt_queued_run_coordinator.status.queue_state import QueueState
from clt_queued_run_coordinator.text.similar_names import likely_meant

COORDINATOR = "dagster.yaml: run_coordinator"
CONCURRENCY = "dagster.yaml: concurrency.runs"
DATABASE = "the instance's database"

TAG_LIMITS = "tag_concurrency_limits"
"""The key of `concurrency.runs` that Dagster goes by the presence of, empty or not."""


def findings_in_instance(
    state: QueueState,
    known: Collection[str],
    concurrency: Mapping[str, object],
    untagged: int,
    own_max_concurrent_runs: int | None,
    *,
    workspace: Workspace | None = None,
) -> list[Finding]:
    """The findings on an instance whose coordinator is ours.

    Args:
        state: Its queue.
        known: The code locations that runs were ever queued from.
        concurrency: The instance's own `concurrency.runs`.
        untagged: How many queued runs lack their code location's tag.
        own_max_concurrent_runs: The coordinator's own `max_concurrent_runs`, None where it is not given.
        workspace: The workspace file, where there is one.
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
    """The instance's own tag limits are in the way of those that the coordinator hands over."""
    return Finding(
        f"{TAG_LIMITS} replaces every limit that the daemon is handed, empty or not: live limits and pauses hold"
        " only while its reading of the queue is narrowed",
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
            "give it in one of the two places only",
        )


def _unknown(state: QueueState, known: Collection[str], workspace: Workspace | None) -> Iterator[Finding]:
    """Names that are most likely mistyped; all that don't exist, where a workspace tells what does.

    That no run was ever queued from a code location says nothing: it may be new, or rarely run.
    """
    limited = {*state.settings.code_location_limits.named_locations, *state.live.code_locations}
    existing = {*known, *(workspace.code_locations if workspace else ())}
    for name in sorted(limited - existing):
        similar = likely_meant(name, existing)
        if workspace and workspace.tells_of({*limited, *known}):
            what = (
                f"no run was ever queued from the limited code location {name!r}, which {workspace.file} has not"
            )
        elif similar:
            what = f"no run was ever queued from the limited code location {name!r}"
        else:
            continue
        yield Finding(
            what,
            DATABASE if name in state.live.code_locations else COORDINATOR,
            f"did you mean {similar!r}" if similar else "take its limit out if it is gone",
        )


def _unreachable(state: QueueState) -> Iterator[Finding]:
    for name, in_force in sorted(state.limits.items()):
        if in_force.limit is None or not 0 <= state.max_concurrent_runs < in_force.limit:
            continue
        yield Finding(
            f"the limit {in_force.limit} of {name} can't be reached: max_concurrent_runs is"
            f" {state.max_concurrent_runs}",
            DATABASE if in_force.source is Source.LIVE else COORDINATOR,
            f"raise max_concurrent_runs to {in_force.limit} or more",
        )


def _unreachable_by_groups(state: QueueState) -> Iterator[Finding]:
    for name, group in sorted(state.settings.code_location_limits.groups.items()):
        if group.limit is not None and 0 <= state.max_concurrent_runs < group.limit:
            yield Finding(
                f"the limit {group.limit} of the group {name} can't be reached: max_concurrent_runs is"
                f" {state.max_concurrent_runs}",
                COORDINATOR,
                f"raise max_concurrent_runs to {group.limit} or more",
            )


def _untagged(untagged: int) -> Iterator[Finding]:
    if untagged:
        yield Finding(
            f"{untagged} queued runs lack their code location's tag",
            DATABASE,
            "run `dagster-clt check --fix`, or wait for the daemon's next tick",
        )
