"""Many runs, made fast: copies of real ones, written by a few statements."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import sqlalchemy as db
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.storage.runs import SqlRunStorage
from tests.run_queue import RunQueue

ENDED_OVER = 30 * 24 * 3600
"""Over how many seconds the ends of finished runs are spread: what is kept of a month."""
LASTED = 120
"""Seconds from a finished run's start to its end."""
_AT_ONCE = 25_000
_COLUMNS = "run_id, snapshot_id, pipeline_name, mode, status, run_body"


@contextmanager
def connection(instance: DagsterInstance) -> Iterator[db.engine.Connection]:
    """A transaction in the database of an instance's runs."""
    with cast("SqlRunStorage", instance.run_storage).connect() as opened:
        commits_itself = opened.dialect.name == "postgresql"  # there each statement is a transaction
        if commits_itself:
            opened.execute(db.text("BEGIN"))
        yield opened
        if commits_itself:
            opened.execute(db.text("COMMIT"))


def copy_runs(instance: DagsterInstance, run_ids: list[str], copies: int) -> None:
    """Add copies of runs with ids and rows of their own, taken from the runs in turns, as if queued 50 a second.

    Args:
        instance: On PostgreSQL.
        run_ids: The runs to copy.
        copies: How many in all.
    """
    if copies <= 0:
        return
    with connection(instance) as opened:
        _begin_copying(opened, run_ids, first=0, copies=copies)
        opened.execute(
            db.text(
                f"INSERT INTO runs ({_COLUMNS}, create_timestamp, update_timestamp)"  # noqa: S608 - a constant
                " SELECT copy.run_id, snapshot_id, pipeline_name, mode, status,"
                " replace(run_body, copy.original, copy.run_id), queued, queued FROM"
                " (SELECT *, timezone('utc', now()) - (:copies - turn) * interval '0.02 s' AS queued FROM copy)"
                " AS copy"
                " JOIN runs ON runs.run_id = copy.original ORDER BY turn"
            ),
            {"copies": copies},
        )
        _copy_tags(opened)


def add_finished_runs(
    queue: RunQueue, code_locations: list[str], runs: int, show: Callable[[int, int], None]
) -> None:
    """Add runs that have succeeded, the last one a minute ago, taken from the code locations in turns.

    They carry what a run of a schedule carries: some configuration and tags. They have no events.

    Args:
        queue: On PostgreSQL or SQLite.
        code_locations: Whose.
        runs: How many.
        show: Told how many are made, of how many.
    """
    instance = queue.instance
    originals = [_finished_run(queue, name) for name in code_locations[:runs]]
    on_postgresql = _is_postgresql(instance)
    newest = time.time() - 60
    for first in range(0, runs, _AT_ONCE):
        show(first, runs)
        turns = range(first, min(first + _AT_ONCE, runs))
        ends = [newest - ENDED_OVER * (runs - 1 - turn) / runs for turn in turns]
        with connection(instance) as opened:
            if on_postgresql:
                _add_finished_on_postgresql(opened, originals, turns, ends)
            else:
                _add_finished_on_sqlite(opened, originals, turns, ends)
    for run_id in originals:
        instance.delete_run(run_id)


def let_end(instance: DagsterInstance, run_ids: list[str], *, queue_again: bool) -> None:
    """Let runs that a tick has started end, by a few statements.

    Args:
        instance: On PostgreSQL.
        run_ids: Runs in the status STARTING.
        queue_again: Queue as many new ones of the same kind, at the end of the queue, so that it stays as long.
    """
    if not run_ids:
        return
    with connection(instance) as opened:
        if queue_again:
            _begin_copying(opened, run_ids, first=0, copies=len(run_ids))
            opened.execute(
                db.text(
                    f"INSERT INTO runs ({_COLUMNS})"  # noqa: S608 - a constant
                    " SELECT copy.run_id, snapshot_id, pipeline_name, mode, 'QUEUED',"
                    " replace(replace(run_body, copy.original, copy.run_id), 'Status.STARTING', 'Status.QUEUED')"
                    " FROM copy JOIN runs ON runs.run_id = copy.original ORDER BY turn"
                )
            )
            _copy_tags(opened)
        ended = opened.execute(
            db.text(
                "UPDATE runs SET status = 'SUCCESS', start_time = :now, end_time = :now,"
                " update_timestamp = timezone('utc', now()),"
                " run_body = replace(run_body, 'Status.STARTING', 'Status.SUCCESS')"
                " WHERE status = 'STARTING' AND run_id = ANY(CAST(:run_ids AS text[]))"
            ),
            {"now": time.time(), "run_ids": run_ids},
        )
        assert ended.rowcount == len(run_ids)


def _is_postgresql(instance: DagsterInstance) -> bool:
    with connection(instance) as opened:
        return opened.dialect.name == "postgresql"


def _finished_run(queue: RunQueue, code_location: str) -> str:
    """One with a body of about 2 kB and six tags, Dagster's two among them."""
    tables = [f"warehouse.{code_location}.table_{number:02}" for number in range(10)]
    return queue.create(
        code_location,
        status=DagsterRunStatus.SUCCESS,
        run_config={"ops": {"load": {"config": {"tables": tables, "full_refresh": False}}}},
        tags={
            CLT_TAG_KEY: code_location,
            "team": f"team of {code_location}",
            "dagster/schedule_name": "every_ten_minutes",
            "dagster/partition": "2026-11-23",
        },
    ).run_id


def _begin_copying(opened: db.engine.Connection, run_ids: list[str], first: int, copies: int) -> None:
    """Give each copy an id, in the temporary table `copy`."""
    opened.execute(db.text("SET LOCAL session_replication_role = replica"))  # not to look each run_id up again
    opened.execute(
        db.text(
            "CREATE TEMPORARY TABLE copy ON COMMIT DROP AS"
            " SELECT turn, runs.run_id AS original, gen_random_uuid()::text AS run_id"
            " FROM generate_series(:first, :first + :copies - 1) AS turn"
            " JOIN unnest(CAST(:run_ids AS text[])) WITH ORDINALITY AS given (run_id, place)"
            " ON turn % :originals = given.place - 1"
            " JOIN runs ON runs.run_id = given.run_id"
        ),
        {"run_ids": run_ids, "first": first, "copies": copies, "originals": len(run_ids)},
    )


def _copy_tags(opened: db.engine.Connection) -> None:
    opened.execute(
        db.text(
            "INSERT INTO run_tags (run_id, key, value) SELECT copy.run_id, key, value"
            " FROM copy JOIN run_tags ON run_tags.run_id = copy.original ORDER BY turn, id"
        )
    )


def _add_finished_on_postgresql(
    opened: db.engine.Connection, originals: list[str], turns: range, ends: list[float]
) -> None:
    _begin_copying(opened, originals, turns.start, len(turns))
    opened.execute(
        db.text(
            f"INSERT INTO runs ({_COLUMNS}, create_timestamp, update_timestamp, start_time, end_time)"  # noqa: S608
            " SELECT copy.run_id, snapshot_id, pipeline_name, mode, status,"
            " replace(run_body, copy.original, copy.run_id),"
            " timezone('utc', to_timestamp(given.ended - :lasted)), timezone('utc', to_timestamp(given.ended)),"
            " given.ended - :lasted, given.ended"
            " FROM copy JOIN runs ON runs.run_id = copy.original"
            " JOIN unnest(CAST(:ends AS float8[])) WITH ORDINALITY AS given (ended, place)"
            " ON given.place - 1 = copy.turn - :first ORDER BY turn"
        ),
        {"lasted": LASTED, "ends": ends, "first": turns.start},
    )
    _copy_tags(opened)


def _add_finished_on_sqlite(
    opened: db.engine.Connection, originals: list[str], turns: range, ends: list[float]
) -> None:
    def rows_of(table: str, run_id: str) -> list[dict[str, object]]:
        query = db.text(f"SELECT * FROM {table} WHERE run_id = :run_id ORDER BY id")  # noqa: S608
        return [dict(row) for row in opened.execute(query, {"run_id": run_id}).mappings()]

    bodies = {run_id: rows_of("runs", run_id)[0] for run_id in originals}
    tags = {run_id: rows_of("run_tags", run_id) for run_id in originals}
    runs: list[dict[str, object]] = []
    run_tags: list[dict[str, object]] = []
    for turn, ended in zip(turns, ends, strict=True):
        original = originals[turn % len(originals)]
        run_id = str(uuid.uuid4())
        runs.append(
            {
                **bodies[original],
                "run_id": run_id,
                "run_body": str(bodies[original]["run_body"]).replace(original, run_id),
                "began": ended - LASTED,
                "ended": ended,
            }
        )
        run_tags += [{**tag, "run_id": run_id} for tag in tags[original]]
    opened.execute(
        db.text(
            f"INSERT INTO runs ({_COLUMNS}, create_timestamp, update_timestamp, start_time, end_time)"  # noqa: S608
            " VALUES (:run_id, :snapshot_id, :pipeline_name, :mode, :status, :run_body,"
            " strftime('%Y-%m-%d %H:%M:%f000', :began, 'unixepoch'),"
            " strftime('%Y-%m-%d %H:%M:%f000', :ended, 'unixepoch'), :began, :ended)"
        ),
        runs,
    )
    opened.execute(db.text("INSERT INTO run_tags (run_id, key, value) VALUES (:run_id, :key, :value)"), run_tags)
