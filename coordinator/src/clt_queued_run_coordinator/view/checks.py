"""What is wrong with an instance: findings. Pure."""

from collections.abc import Collection, Iterator, Mapping

from clt_queued_run_coordinator.limits.in_force import Source
from clt_queued_run_coordinator.queue.state import QueueState
from clt_queued_run_coordinator.view.findings import Finding
from clt_queued_run_coordinator.view.names import nearest

COORDINATOR = "dagster.yaml: run_coordinator"
CONCURRENCY = "dagster.yaml: concurrency.runs"
DATABASE = "the instance's database"


def instance_findings(
    state: QueueState, known: Collection[str], concurrency: Mapping[str, object], untagged: int
) -> list[Finding]:
    """The findings on an instance whose coordinator is ours.

    Args:
        state: Its queue.
        known: The code locations that runs were ever queued from.
        concurrency: The instance's own `concurrency.runs`.
        untagged: How many queued runs lack their code location's tag.
    """
    return [
        *_shadowed(state, concurrency),
        *_unknown(state, known),
        *_unreachable(state),
        *_untagged(untagged),
        *(Finding(line.partition(";")[0], DATABASE, "set it again") for line in state.live.unreadable),
    ]


def shadowed_by_tag_limits() -> Finding:
    """The instance's own tag limits are in the way of all of the coordinator's."""
    return Finding(
        "tag_concurrency_limits replaces every limit of the coordinator, live changes and pauses included",
        CONCURRENCY,
        "move its entries to run_coordinator.config.tag_concurrency_limits",
    )


def _shadowed(state: QueueState, concurrency: Mapping[str, object]) -> Iterator[Finding]:
    if concurrency.get("tag_concurrency_limits"):
        yield shadowed_by_tag_limits()
    replaced = concurrency.get("max_concurrent_runs")
    if replaced is not None and replaced != state.settings.max_concurrent_runs:
        yield Finding(
            f"max_concurrent_runs {replaced} replaces the coordinator's {state.settings.max_concurrent_runs}",
            CONCURRENCY,
            "give it in one of the two places only",
        )


def _unknown(state: QueueState, known: Collection[str]) -> Iterator[Finding]:
    if not known:
        return  # a new instance: nothing can be told yet
    for name in sorted({*state.settings.code_location_limits.entries, *state.live.code_locations} - set(known)):
        live = name in state.live.code_locations
        similar = nearest(name, known)
        yield Finding(
            f"no run was ever queued from the limited code location {name!r}",
            DATABASE if live else COORDINATOR,
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


def _untagged(untagged: int) -> Iterator[Finding]:
    if untagged:
        yield Finding(
            f"{untagged} queued runs lack their code location's tag",
            DATABASE,
            "run `dagster-clt check --fix`, or wait for the daemon's next tick",
        )
