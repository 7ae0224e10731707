"""When a queued run will start: reads what `policy.estimate` replays, and says where nothing can be said."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from statistics import median
from typing import Any, NamedTuple

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterEventType, DagsterInstance, RunsTable
from clt_queued_run_coordinator.daemon.dagster_checks import Needs
from clt_queued_run_coordinator.daemon.manual_launches import pass_breakers
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate.blockers import Blocker, RunFacts
from clt_queued_run_coordinator.operate.coming_tick import checks_of
from clt_queued_run_coordinator.policy.estimate import (
    LEAST_MEASURED,
    Estimate,
    Job,
    Running,
    Waiting,
    Workload,
    competing,
    estimate,
)
from clt_queued_run_coordinator.policy.queue_state import QueueState
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION, JobAndBackfill, QueuedRun
from clt_queued_run_coordinator.policy.size import slots_of
from clt_queued_run_coordinator.store.code_location import origins
from clt_queued_run_coordinator.store.database_clock import utc
from clt_queued_run_coordinator.store.rows import of_runs
from clt_queued_run_coordinator.store.transaction import reading

AHEAD = 1000
"""With more queued runs ahead in its code location, nothing is said of a run."""

AT_THE_FRONT = 2000
"""The most queued runs that are read beside those, divided between the code locations."""

JOBS = 100
"""The most jobs whose runs are measured. Those with runs in progress or at the front come first."""

OF_EACH_JOB = 50
"""How many finished runs of each job are measured, the newest ones ..."""

LOOKED_AT = 2000
"""... among the newest runs that have a job of this name in any code location: about this many in all."""

LAUNCHES = 10
"""The number of launches that are measured."""

_WITHOUT_AN_END = {"daemon", "daemon_error", "code_server", "launch"}
"""The kinds of blockers that hold every run of a code location, and of which nobody knows when they end."""


def start_estimates(
    instance: DagsterInstance,
    queue: QueuedRuns,
    facts: RunFacts,
    *,
    held_by: Sequence[Blocker],
    interval: int,
    beside: Sequence[int] = (),
) -> dict[int, Estimate]:
    """When a queued run will start, and others of its code location, by the storage's ids. Writes nothing.

    `interval` is the seconds between two ticks. The others, `beside`, are of the first `AHEAD` queued runs of the
    code location. Those of which nobody knows are left out, as are those that have left it or the queue.
    """
    own = _without_replays(facts, held_by, interval)
    name = facts.code_location
    runs = [run for run in beside if run in queue and queue.lane_of[run].code_location == name]
    if own is None:
        runs.insert(0, facts.storage_id)
    if not runs or any(blocker.kind in _WITHOUT_AN_END for blocker in held_by):
        found = {}
    else:
        found = estimate(_workload(instance, queue, facts.state, name, interval), runs)
    return {facts.storage_id: own or _nobody_knows(held_by[0]), **found}


def _without_replays(facts: RunFacts, held_by: Sequence[Blocker], interval: int) -> Estimate | None:
    """The estimate where no replay is needed; None where one is."""
    if not held_by:
        return Estimate(0, interval)
    if facts.before >= AHEAD:
        return Estimate(why_not=f"more than {AHEAD} queued runs of its code location are ahead of it")
    endless = (blocker for blocker in held_by if blocker.kind in _WITHOUT_AN_END | {"pool", "tag_limit"})
    return next(map(_nobody_knows, endless), None)


def _nobody_knows(blocker: Blocker) -> Estimate:
    return Estimate(why_not=f"nobody knows when this ends: {blocker.what}")


def _workload(
    instance: DagsterInstance, queue: QueuedRuns, state: QueueState, code_location: str, interval: int
) -> Workload:
    state = pass_breakers(instance, queue, state)
    names = competing(state, code_location)
    checks = checks_of(instance, state)
    needed = [lane.of.needs for name in names for lane in queue.lanes(name)]
    checks.load_pools(needs.run for needs in needed if isinstance(needs, Needs))
    most = dict.fromkeys(names, AT_THE_FRONT // len(names)) | {code_location: AHEAD + AT_THE_FRONT // len(names)}
    first = {name: list(islice(queue.in_order(name), number)) for name, number in most.items()}
    with reading(instance) as connection:
        query = db.select(RunsTable.c.id, RunsTable.c.pipeline_name)
        job_of = dict(of_runs(connection, query, (run.storage_id for runs in first.values() for run in runs)))

        def waiting(name: str, run: QueuedRun) -> Waiting:
            of = queue.lane_of[run.storage_id].of
            is_held = isinstance(of.needs, Needs) and checks.hold(of.needs)
            return Waiting(run, Job(name, job_of.get(run.storage_id, "")), of, is_held)

        queued = {name: [waiting(name, run) for run in runs] for name, runs in first.items()}
        jobs = [Job(name, run.job_name) for name, run in state.runs_in_progress() if name in names]
        waits = chain(queued[code_location], *queued.values())
        jobs = list(dict.fromkeys([*jobs, *(run.job for run in waits)]))
        measured = _measured(connection, jobs[:JOBS])
    launch = _launch_seconds(instance, measured)
    lengths: dict[Job, list[float]] = defaultdict(list)
    for job, _, start, end in sorted(measured, key=lambda run: run.end - run.start):
        for key in (job, Job(job.code_location)):
            lengths[key].append(launch + max(0.0, end - start))
    running = [run for run in _running(state, launch) if run.job.code_location in names]
    return Workload(state, queued, running, lengths, interval)


def _running(state: QueueState, launch: float) -> Iterator[Running]:
    now = state.live.read_at.timestamp()
    for (name, run), record in zip(state.runs_in_progress(), state.in_progress, strict=True):
        launched = record.start_time - launch if record.start_time else utc(record.update_timestamp).timestamp()
        slots = slots_of(state.settings.code_location_limits, name, run.tags)
        yield Running(Job(name, run.job_name), JobAndBackfill.of(run), max(0.0, now - launched), slots)


class _Measured(NamedTuple):
    """A finished run, with the moments of its start and its end, in seconds since 1970."""

    job: Job
    run_id: str
    start: float
    end: float


def _measured(connection: db.Connection, jobs: Collection[Job]) -> list[_Measured]:
    """The newest finished runs of jobs, by the index on job and id. Their origins tell their code locations."""
    names = Counter(job.name for job in jobs)
    columns = RunsTable.c
    query = db.select(columns.id, columns.run_id, columns.pipeline_name, columns.start_time, columns.end_time)
    has_run = db.and_(columns.start_time.is_not(None), columns.end_time.is_not(None))
    found: list[db.Row[Any]] = []
    for name, number in names.items():
        newest = query.where(columns.pipeline_name == name, has_run).order_by(columns.id.desc())
        found += connection.execute(newest.limit(max(LEAST_MEASURED * number, LOOKED_AT // len(names)))).all()
    of = origins(connection, [row[0] for row in found])
    measured: dict[Job, list[_Measured]] = defaultdict(list)
    for storage_id, run_id, name, start, end in found:
        job = Job(of[storage_id] or NO_CODE_LOCATION, name)
        if len(measured[job]) < OF_EACH_JOB:
            measured[job].append(_Measured(job, run_id, start, end))
    return list(chain.from_iterable(measured.values()))


def _launch_seconds(instance: DagsterInstance, measured: Sequence[_Measured]) -> float:
    """How long runs took from their launch, which takes their slot, to their start: the median of a few."""
    seconds = []
    for run in measured[:LAUNCHES]:
        launches = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.RUN_STARTING).records
        seconds += [max(0.0, run.start - launch.timestamp) for launch in launches]
    return median(seconds) if seconds else 0.0
