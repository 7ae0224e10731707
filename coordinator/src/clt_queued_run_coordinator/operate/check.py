"""The mistakes that `dagster-clt check` finds in an instance, and those that it mends."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from importlib.metadata import version

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, RunsTable, instance_concurrency_settings
from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.daemon import readers
from clt_queued_run_coordinator.daemon.queued_runs import untagged_queued_runs
from clt_queued_run_coordinator.daemon.readers import Reader
from clt_queued_run_coordinator.operate import names, now
from clt_queued_run_coordinator.operate.blockers import argument
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.operate.now import Now
from clt_queued_run_coordinator.operate.workspace import Workspace
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION, PREFIX, Kind, LiveChanges
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.size import SIZE_TAGS, size
from clt_queued_run_coordinator.store import document, live
from clt_queued_run_coordinator.store.rows import IS_QUEUED, tags_of
from clt_queued_run_coordinator.store.tag_writing import write_tags
from clt_queued_run_coordinator.store.transaction import reading
from clt_queued_run_coordinator.text.formats import count, timestamp
from clt_queued_run_coordinator.text.similar_names import likely_meant

COORDINATOR = "dagster.yaml: run_coordinator"
CONCURRENCY = "dagster.yaml: concurrency.runs"
DATABASE = "the instance's database"
DAEMON = "the daemon"

TAG_LIMITS = "tag_concurrency_limits"

SILENT_TICKS = timedelta(minutes=5)
"""A daemon that lives and hasn't read the queue for this long has a problem; a slow launch takes less."""


def mend(instance: DagsterInstance) -> tuple[int, list[str]]:
    """Mend what can be mended without changing what is in force.

    Returns:
        How many queued runs lacked the tag of their code location, and the code locations whose stored resume no
        longer did anything.
    """
    with reading(instance) as connection:
        untagged = untagged_queued_runs(connection)
        left_over = _left_over(live.read(connection))
        document.delete(connection, [f"{PREFIX}/{Kind.PAUSED.value}/{name}" for name in left_over])
    write_tags(instance, untagged)
    return len(untagged), left_over


def find(
    instance: DagsterInstance, coordinator: CLTQueuedRunCoordinator, workspace: Workspace | None
) -> list[Finding]:
    """The findings in an instance that uses this package's coordinator, and the workspace file if there is one."""
    found = now.read(instance, coordinator.settings)
    with reading(instance) as connection:
        untagged = len(untagged_queued_runs(connection))
        stored = readers.read(connection)
        wrong_tags = list(_wrong_sizes(connection, found.state.settings.code_location_limits))
    state = found.state
    return [
        *_shadowed(instance, coordinator.own_max_concurrent_runs),
        *_unknown(state, names.of_all_runs(instance), workspace),
        *_unreachable(state),
        *_unneeded(state.settings.code_location_limits),
        *wrong_tags,
        *_untagged(untagged),
        *_daemons(stored, found),
        *(
            Finding(f"a resume of {name!r} is stored that does nothing", DATABASE, "run `dagster-clt check --fix`")
            for name in _left_over(state.live)
        ),
        *(Finding(line.partition(";")[0], DATABASE, "set it again") for line in state.live.unreadable),
    ]


def _left_over(changes: LiveChanges) -> list[str]:
    """The code locations with a resume where nothing is paused that it would except them from."""
    if changes.pause(EVERY_CODE_LOCATION):
        return []
    return sorted(
        name for name, change in changes.pauses.items() if not change.value and name != EVERY_CODE_LOCATION
    )


def _daemons(reading: Sequence[Reader], found: Now) -> Iterator[Finding]:
    """More than one daemon, one of another version, and one that lives and doesn't read the queue as it should."""
    both = readers.at_once(reading, found.at.timestamp())
    if both:
        yield Finding(
            f"{len(both)} daemons run at once, so that schedules and sensors may launch twice:"
            f" {', '.join(sorted(reader.process for reader in both))}",
            DAEMON,
            "stop all but one, or set code_location_limits.standby: true",
        )
    own = version(readers.PACKAGE)
    for reader in reading[:1]:
        if reader.version != own and found.at.timestamp() - reader.at < readers.RECENT_SECONDS:
            yield Finding(
                f"the daemon runs version {reader.version} of this package, and this command {own}",
                DAEMON,
                "run both from the same image",
            )
    daemon = found.daemon
    if daemon.stored.narrowed is False:
        yield Finding(
            "the daemon reads its queue in a way that this package doesn't know: max_per_job, max_per_backfill,"
            " backfill_share, minimums and shares are not applied",
            DAEMON,
            "see its log, and update this package to a version that supports the installed Dagster",
        )
    read_at = daemon.read_queue_at
    is_late = read_at is None or found.at - read_at > SILENT_TICKS
    if is_late and not daemon.is_silent(found.at):
        since = "it has begun" if read_at is None else timestamp(read_at)
        yield Finding(f"the daemon runs, but has not read the queue since {since}", DAEMON, "see its log")


def shadowed_by_tag_limits(instance: DagsterInstance) -> Finding | None:
    """The instance's own tag limits replace those that the coordinator hands to the daemon, if it has any."""
    if TAG_LIMITS not in instance_concurrency_settings(instance):
        return None
    return Finding(
        f"{TAG_LIMITS} replaces every limit that the coordinator hands to the daemon, even if it is empty: live"
        " limits and pauses hold only while the daemon's reading of the queue is narrowed",
        CONCURRENCY,
        f"take the key out, or move its entries to run_coordinator.config.{TAG_LIMITS}",
    )


def _shadowed(instance: DagsterInstance, own_max_concurrent_runs: int | None) -> Iterator[Finding]:
    if shadowed := shadowed_by_tag_limits(instance):
        yield shadowed
    replaced = instance_concurrency_settings(instance).get("max_concurrent_runs")
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
    elsewhere = ""
    if workspace and workspace.is_authoritative({*limited, *known}):
        elsewhere = f", and it is not in {workspace.file}"
    for name in sorted(limited - existing):
        similar = likely_meant(name, existing)
        if similar or elsewhere:
            yield Finding(
                f"no run was ever queued from a code location {name!r}{elsewhere}",
                DATABASE if name in state.live.code_locations else COORDINATOR,
                f"did you mean {similar!r}" if similar else f"if it is gone, {_removal(state, name)}",
            )


def _removal(state: QueueState, name: str) -> str:
    """How to remove all that is said of a code location."""
    changed = {"clear-limit": state.live.limit(name), "resume": state.live.pause(name)}
    commands = [f"`dagster-clt {command} {argument(name)}`" for command, change in changed.items() if change]
    is_configured = name in state.settings.code_location_limits.named_locations
    return " and ".join([*commands, *(["remove it from code_location_limits"] if is_configured else [])])


def _unreachable(state: QueueState) -> Iterator[Finding]:
    total, groups = state.settings.max_concurrent_runs, state.settings.code_location_limits.groups
    limits = [
        (name, in_force.limit, DATABASE if in_force.source is Source.LIVE else COORDINATOR)
        for name, in_force in sorted(state.limits.items())
    ]
    limits += [(f"the group {name}", group.limit, COORDINATOR) for name, group in sorted(groups.items())]
    for name, limit, where in limits:
        if limit is not None and 0 <= total < limit:
            yield Finding(
                f"the limit {limit} of {name} can't be reached: max_concurrent_runs is {total}",
                where,
                f"raise max_concurrent_runs to {limit} or more",
            )


def _unneeded(limits: CodeLocationLimits) -> Iterator[Finding]:
    """Resources that runs need and no slot holds, so that they don't count."""
    entries = [("default", limits.default), *((name, entry) for name, entry in sorted(limits.entries.items()))]
    for name, entry in entries:
        needs = entry.run_needs or {}
        if needs is limits.default.run_needs and name != "default":
            continue  # it has the default's
        for resource in sorted(needs.keys() - (limits.slot or {}).keys()):
            yield Finding(
                f"run_needs of {name} names {resource}, which slot doesn't, so it doesn't count",
                COORDINATOR,
                f"name {resource} in code_location_limits.slot, or take it out",
            )


def _wrong_sizes(connection: db.Connection, limits: CodeLocationLimits) -> Iterator[Finding]:
    """What is wrong in those tags of queued runs that tell their size."""
    if limits.slot is None:
        return
    queued = connection.execute(db.select(RunsTable.c.id).where(IS_QUEUED)).scalars().all()
    of_runs = tags_of(connection, queued, SIZE_TAGS).values()
    wrong = Counter(line for tags in of_runs for line in size(limits, NO_CODE_LOCATION, dict(tags)).wrong)
    for line, runs in wrong.items():
        what, _, cure = line.partition("; ")
        yield Finding(f"of {count(runs, 'queued run')}, {what}, so it doesn't count", DATABASE, cure)


def _untagged(untagged: int) -> Iterator[Finding]:
    if untagged:
        lack = "lacks the tag of its" if untagged == 1 else "lack the tag of their"
        yield Finding(
            f"{count(untagged, 'queued run')} {lack} code location",
            DATABASE,
            "run `dagster-clt check --fix`, or wait for the daemon's next tick",
        )
