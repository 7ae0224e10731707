"""What blocks a queued run now: one pure function for each possible cause, from the facts about the run.

A blocker says what it is, which runs use it up, and what would let the run start. Each one alone blocks the run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from shlex import quote
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterRun, RunRecord
from clt_queued_run_coordinator.config.options import CodeLocationEntry
from clt_queued_run_coordinator.daemon.manual_launches import let_through
from clt_queued_run_coordinator.operate.next_tick import NextTick
from clt_queued_run_coordinator.operate.run_facts import FullPool, RunFacts, utc_time
from clt_queued_run_coordinator.policy.in_force import LimitInForce, Source, limits_of
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, JobAndBackfill, is_manual
from clt_queued_run_coordinator.policy.tag_limits import is_per_unique_value
from clt_queued_run_coordinator.store.code_location import code_location_of
from clt_queued_run_coordinator.store.live import Change
from clt_queued_run_coordinator.text.formats import duration, run_count

SILENCE = timedelta(seconds=90)
"""After this long without a sign of life the daemon counts as down. It sends a heartbeat every 30 seconds."""

NAMED = 5
"""At most this many of the runs that use something up are named."""


@dataclass(frozen=True)
class Holder:
    """A run that uses up what a queued run is waiting for.

    Attributes:
        run_id: Its id.
        job: Its job; None if the run is no longer in progress.
        code_location: Its code location; None if unknown.
        since: When it started, as ISO 8601 in UTC; None if unknown.
        step: The step that holds a pool's slot; None for a whole run.
    """

    run_id: str
    job: str | None = None
    code_location: str | None = None
    since: str | None = None
    step: str | None = None


@dataclass(frozen=True)
class UsedUpByRunsAhead:
    """What the runs that start first use up.

    Attributes:
        tag_limits: Dagster's own tag limits.
        pools: The pools.
    """

    tag_limits: Sequence[Mapping[str, Any]] = ()
    pools: Sequence[FullPool] = ()


@dataclass(frozen=True)
class Blocker:
    """One cause that blocks a queued run.

    Attributes:
        kind: The kind of cause, for `explain --output json`.
        what: The cause, in one line.
        cure: What would let the run start, in one line.
        holders: The first of the runs that use it up.
        held_by: How many runs use it up in all.
    """

    kind: str
    what: str
    cure: str
    holders: Sequence[Holder] = ()
    held_by: int = 0


def queue_not_read(facts: RunFacts) -> Blocker | None:
    """The daemon that reads the queue has shown no sign of life, by its own clock."""
    cure = "start dagster-daemon, or see its log and Deployment > Daemons in the UI"
    signs = [sign for sign in (facts.heartbeat, facts.last_tick) if sign]
    if not signs:
        return Blocker("daemon", "the daemon is not reading the run queue: it was never seen", cure)
    silence = facts.now - max(signs)
    if silence <= SILENCE:
        return None
    ago = duration(silence.total_seconds())
    return Blocker("daemon", f"the daemon is not reading the run queue: it was last seen {ago} ago", cure)


def daemon_failing(facts: RunFacts) -> Blocker | None:
    """The daemon is alive, but its ticks fail."""
    if not facts.daemon_errors:
        return None
    error = " ".join(facts.daemon_errors[0].split())
    return Blocker(
        "daemon_error",
        f"the daemon's ticks fail: {error[:200]}",
        "see the daemon's log; no run starts in a tick that fails",
    )


def paused(facts: RunFacts) -> Blocker | None:
    """Its code location is paused."""
    pause = facts.tick.live.pause(facts.code_location)
    if pause is None or facts.code_location == NO_CODE_LOCATION:
        return None
    return Blocker(
        "pause",
        f"{facts.code_location} is paused{_by(pause)}",
        f"dagster-clt resume {quote(facts.code_location)}{_or_wait(pause.until)}",
    )


def breaker_open(facts: RunFacts) -> Blocker | None:
    """The circuit breaker of its code location is open, because too many runs failed."""
    opened = facts.tick.live.breaker(facts.code_location)
    if opened is None or facts.code_location == NO_CODE_LOCATION:
        return None
    if facts.code_location in let_through(facts.tick) and is_manual(facts.run):
        return None  # the breaker lets manual launches through
    return Blocker(
        "breaker",
        f"the circuit breaker of {facts.code_location} is open{_by(opened)}",
        f"dagster-clt resume {quote(facts.code_location)}{_or_wait(opened.until)}",
    )


def at_its_limit(facts: RunFacts) -> Blocker | None:
    """As many runs of its code location are in progress as its limit allows."""
    in_force = limit_without_pause(facts)
    running = facts.in_progress_of(facts.code_location)
    if in_force is None or in_force.limit is None or len(running) < in_force.limit:
        return None
    return _with_holders(
        Blocker(
            "limit",
            f"the limit of {facts.code_location} is used up: {len(running)} of {in_force.limit} in progress"
            f" (limit from {_source(in_force)})",
            _higher_limit(facts, in_force, len(running)),
        ),
        map(_holder, running),
    )


def group_at_its_limit(facts: RunFacts) -> Blocker | None:
    """As many runs of its code location's group are in progress as the group's limit allows."""
    limits = facts.tick.settings.code_location_limits
    group = limits.group(facts.code_location)
    if group is None or group.limit is None:
        return None
    name = limits.group_of[facts.code_location]
    running = facts.in_progress_of(*group.locations)
    if len(running) < group.limit:
        return None
    return _with_holders(
        Blocker(
            "group_limit",
            f"the limit of group {name} is used up: {len(running)} of {group.limit} in progress",
            f"wait for a run of {', '.join(group.locations)} to end, or raise the group's limit",
        ),
        map(_holder, running),
    )


def job_at_its_limit(facts: RunFacts, starting: Sequence[DagsterRun] = ()) -> Blocker | None:
    """As many runs of its job are in progress as its code location's `max_per_job` allows.

    Args:
        facts: The facts about the run.
        starting: The runs that start before it.
    """
    job = facts.run.job_name
    most = _entry(facts).max_per_job.of(job)
    running = [run for run in facts.in_progress_of(facts.code_location) if run.dagster_run.job_name == job]
    before = [run for run in starting if code_location_of(run) == facts.code_location and run.job_name == job]
    return _at_limit_within("max_per_job", f"job {job}", most, running, before)


def backfill_at_its_limit(facts: RunFacts, starting: Sequence[DagsterRun] = ()) -> Blocker | None:
    """As many runs of its backfill are in progress as its code location's `max_per_backfill` allows.

    Args:
        facts: The facts about the run.
        starting: The runs that start before it.
    """
    of_run = JobAndBackfill.of(facts.run).backfill
    if of_run is None:
        return None
    own = facts.in_progress_of(facts.code_location)
    running = [run for run in own if JobAndBackfill.of(run.dagster_run).backfill == of_run]
    before = [
        run
        for run in starting
        if code_location_of(run) == facts.code_location and JobAndBackfill.of(run).backfill == of_run
    ]
    most = _entry(facts).max_per_backfill
    return _at_limit_within("max_per_backfill", f"backfill {of_run}", most, running, before)


def behind_others(facts: RunFacts) -> Blocker | None:
    """The limit of its code location has room, but the runs that go first take all of it."""
    in_force = limit_without_pause(facts)
    if in_force is None or in_force.limit is None:
        return None
    room = in_force.limit - facts.tick.in_progress_of[facts.code_location]
    if not 0 < room <= facts.before:
        return None
    return Blocker(
        "order",
        f"{room} slot{_s(room)} free for {facts.code_location}, {run_count(facts.before)} go first"
        f" (limit {in_force.limit} from {_source(in_force)})",
        f"wait for its turn, or raise its priority: {_prioritize(facts)}",
    )


def no_free_slot(facts: RunFacts) -> Blocker | None:
    """As many runs are in progress in all as `max_concurrent_runs` allows."""
    if facts.tick.free_slots != 0:
        return None
    total = facts.tick.settings.max_concurrent_runs
    counts = Counter(code_location_of(record.dagster_run) or NO_CODE_LOCATION for record in facts.in_progress)
    return _with_holders(
        Blocker(
            "max_concurrent_runs",
            f"max_concurrent_runs is used up: {len(facts.in_progress)} of {total} in progress"
            + (f" ({_by_whom(counts)})" if counts else ""),
            "wait for a run to end, or raise max_concurrent_runs",
        ),
        map(_holder, facts.in_progress),
    )


def full_tag_limits(facts: RunFacts) -> list[Blocker]:
    """Dagster's own tag limits that have no room for it."""
    return [_tag_limit(facts, limit) for limit in facts.full_tag_limits]


def full_pools(facts: RunFacts) -> list[Blocker]:
    """The full pools that its ops need."""
    return [_pool(facts, pool) for pool in facts.full_pools]


def code_server_down(facts: RunFacts) -> Blocker | None:
    """Its code server did not answer the last attempt, and no run of the code location has started since."""
    attempt = facts.unreached
    if attempt is None:
        return None
    running = facts.in_progress_of(facts.code_location)
    started = [record.start_time for record in running if record.start_time]
    if started and max(started) > attempt.at.timestamp():
        return None
    ago = duration((facts.now - attempt.at).total_seconds())
    which = "this run" if attempt.run_id == facts.run.run_id else f"run {attempt.run_id}"
    wait = (attempt.at + timedelta(seconds=facts.retry_delay) - facts.now).total_seconds()
    again = f"in {duration(wait)}" if wait > 0 else "at one of the next ticks"
    return Blocker(
        "code_server",
        f"its code server did not answer the daemon's last attempt, {ago} ago, with {which}"
        f" ({attempt.attempts} of {facts.retries} retries used); it is tried again {again}",
        f"start the code server of {facts.code_location}; see its log and Deployment > Code locations in the UI",
    )


def limit_without_pause(facts: RunFacts) -> LimitInForce | None:
    """The limit that would apply to the run's code location without a pause; None if that is unknown."""
    if facts.code_location == NO_CODE_LOCATION:
        return None
    live = replace(facts.tick.live, pauses={}, pauses_until={}, breakers={})
    return limits_of([facts.code_location], facts.tick.settings, live)[facts.code_location]


_INDEPENDENT_CHECKS: Sequence[Callable[[RunFacts], Blocker | None]] = (
    paused,
    breaker_open,
    at_its_limit,
    group_at_its_limit,
    job_at_its_limit,
    backfill_at_its_limit,
    no_free_slot,
)
"""The causes that block a run regardless of the other queued runs."""


def independent_blockers(facts: RunFacts) -> list[Blocker]:
    """The blockers that don't depend on the other queued runs, except the daemon and the code server."""
    found = [blocker for blocker in (of(facts) for of in _INDEPENDENT_CHECKS) if blocker]
    return [*found, *full_tag_limits(facts), *full_pools(facts)]


def blockers_by_runs_ahead(facts: RunFacts, coming: NextTick, full: UsedUpByRunsAhead) -> list[Blocker]:
    """What blocks a run that could start if the queued runs ahead of it did not start first.

    Args:
        facts: The facts about the run.
        coming: What the next tick starts instead.
        full: What those runs use up.
    """
    own = coming.by_code_location.get(facts.code_location, 0)
    found = []
    room = coming.room.get(facts.code_location)
    if room is not None and own >= room:
        found.append(_turn_within(facts, coming) or behind_others(facts) or _behind_in_group(facts, room))
    elif facts.tick.free_slots is not None and sum(coming.by_code_location.values()) >= facts.tick.free_slots:
        found.append(_turn_within(facts, coming) or _turn_of_others(facts, coming))
    within = (job_at_its_limit(facts, coming.runs), backfill_at_its_limit(facts, coming.runs))
    found += [blocker for blocker in within if blocker]
    found += [_tag_limit(facts, limit, by_others=True) for limit in full.tag_limits]
    found += [_pool(facts, pool, by_others=True) for pool in full.pools]
    return found or [
        Blocker(
            "looked_at",
            f"{run_count(facts.before)} of {facts.code_location} go first and are held; a tick looks past some of"
            " them, and the next one goes on from there",
            f"wait a few ticks, or raise its priority: {_prioritize(facts)}",
        )
    ]


def _turn_within(facts: RunFacts, coming: NextTick) -> Blocker | None:
    """Its code location's backfill runs and other runs take turns, and it is the turn of the other kind."""
    share = _entry(facts).backfill_share
    of_backfill = JobAndBackfill.of(facts.run).backfill is not None
    starting = [run for run in coming.runs if code_location_of(run) == facts.code_location]
    other_kind = any((JobAndBackfill.of(run).backfill is not None) is not of_backfill for run in starting)
    if share is None or not other_kind:
        return None
    return Blocker(
        "backfill_share",
        f"runs of backfills and the other runs of {facts.code_location} take turns (backfill_share {share:g}), and"
        f" it is the turn of {'the other runs' if of_backfill else 'the backfills'}",
        "wait for its turn, or change backfill_share",
    )


def _behind_in_group(facts: RunFacts, room: int) -> Blocker:
    group = facts.tick.settings.code_location_limits.group_of.get(facts.code_location, "")
    return Blocker(
        "order",
        f"{room} slot{_s(room)} free for group {group}, and other runs of it go first",
        f"wait for its turn, or raise its priority: {_prioritize(facts)}",
    )


def _turn_of_others(facts: RunFacts, coming: NextTick) -> Blocker:
    slots = facts.tick.free_slots or 0
    others = {name: runs for name, runs in coming.by_code_location.items() if name != facts.code_location}
    by_whom = _by_whom(Counter(others))
    before = f"{run_count(facts.before)} of {facts.code_location} go first" if facts.before else ""
    if not facts.tick.is_fair:
        what = f"{slots} slot{_s(slots)} free in all, and older runs or ones with a larger priority go first"
        cure = f"wait for its turn, or raise its priority: {_prioritize(facts)}"
        return Blocker("order", f"{what} ({by_whom or before})", cure)
    share, running = facts.share, facts.tick.in_progress_of[facts.code_location]
    has = f"{facts.code_location} has {running} in progress" + (
        "" if share is None else f" of its share of {share}"
    )
    return Blocker(
        "share",
        f"{slots} slot{_s(slots)} free in all, and it is the turn of other code locations: {has}"
        + (f"; next are {by_whom}" if by_whom else f"; {before}" if before else ""),
        "wait for its turn; a larger weight makes the share larger",
    )


def _by_whom(counts: Counter[str]) -> str:
    most = [f"{name or 'without a code location'} {runs}" for name, runs in counts.most_common(NAMED)]
    return ", ".join([*most, *([f"{len(counts) - NAMED} more"] if len(counts) > NAMED else [])])


def _prioritize(facts: RunFacts) -> str:
    return f"dagster-clt prioritize {facts.run.run_id} N"


def _entry(facts: RunFacts) -> CodeLocationEntry:
    return facts.tick.settings.code_location_limits.entry(facts.code_location)


def _at_limit_within(
    option: str, of: str, most: int | None, running: Sequence[RunRecord], starting: Sequence[DagsterRun]
) -> Blocker | None:
    if most is None or len(running) + len(starting) < most:
        return None
    rest = f", {run_count(len(starting))} of it go first" if starting else ""
    return _with_holders(
        Blocker(
            option,
            f"{option} of {of} is used up: {len(running)} of {most} in progress{rest}",
            f"wait for a run of {of} to end, or raise {option}",
        ),
        map(_holder, running),
    )


def _tag_limit(facts: RunFacts, limit: Mapping[str, Any], *, by_others: bool = False) -> Blocker:
    key, value = limit["key"], facts.run.tags.get(limit["key"])
    one_value = is_per_unique_value(limit) or isinstance(limit.get("value"), str)
    what = f"{key}: {value}" if one_value else key
    holding = [
        record
        for record in facts.in_progress
        if key in record.dagster_run.tags and (not one_value or record.dagster_run.tags[key] == value)
    ]
    rest = " and by runs that go first" if by_others else ""
    each = " for each value" if is_per_unique_value(limit) else ""
    return _with_holders(
        Blocker(
            "tag_limit",
            f"the tag limit on {what} is used up{rest}: {len(holding)} of {limit['limit']}{each} in progress",
            f"wait for one of them to end, or raise the limit of {key} in tag_concurrency_limits",
        ),
        map(_holder, holding),
    )


def _pool(facts: RunFacts, pool: FullPool, *, by_others: bool = False) -> Blocker:
    by_id = {record.dagster_run.run_id: record for record in facts.in_progress}
    holders = [
        replace(_holder(by_id[run_id]), step=step) if run_id in by_id else Holder(run_id, step=step)
        for run_id, step in pool.steps
    ]
    with_step = {holder.run_id for holder in holders}
    holders += [_holder(record) for record in pool.runs if record.dagster_run.run_id not in with_step]
    ended = sorted({run_id for run_id, _ in pool.steps if run_id not in by_id})
    cure = f"wait for a slot, or give it more: dagster instance concurrency set {quote(pool.name)} N"
    if ended:
        cure = (
            f"free the slots of runs that are no longer in progress ({', '.join(ended[:NAMED])}) in"
            " Deployment > Concurrency in the UI"
        )
    rest = " once the runs that go first have started" if by_others else ""
    return _with_holders(
        Blocker("pool", f"the pool {pool.name} is full{rest}: {pool.slots} slot{_s(pool.slots)}", cure), holders
    )


def _with_holders(blocker: Blocker, holders: Iterable[Holder]) -> Blocker:
    all_of_them = list(holders)
    return replace(blocker, holders=all_of_them[:NAMED], held_by=len(all_of_them))


def _holder(record: RunRecord) -> Holder:
    run: DagsterRun = record.dagster_run
    since = utc_time(record.start_time) or record.update_timestamp.replace(tzinfo=timezone.utc)
    return Holder(run.run_id, run.job_name, code_location_of(run), since.isoformat(timespec="seconds"))


def _source(in_force: LimitInForce) -> str:
    until = f" until {_at(in_force.until)}" if in_force.until and not in_force.change else ""
    return f"{in_force.source.value}{_by(in_force.change)}{until}"


def _by(change: Change | None) -> str:
    if change is None:
        return ""
    until = f" until {_at(change.until)}" if change.until else ""
    reason = f": {change.reason}" if change.reason else ""
    return f" by {change.by} since {_at(change.at)}{until}{reason}"


def _or_wait(until: datetime | None) -> str:
    return f", or wait until {_at(until)}" if until else ""


def _at(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def _higher_limit(facts: RunFacts, in_force: LimitInForce, running: int) -> str:
    """What lets the run start, together with those before it."""
    enough = running + facts.before + 1
    with_those = f", with the {facts.before} before it" if facts.before else ""
    if in_force.source is Source.TAG_LIMIT:
        return f"raise the limit of {facts.code_location} in tag_concurrency_limits to {enough}"
    return f"wait for a run to end, or: dagster-clt set-limit {quote(facts.code_location)} {enough}{with_those}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
