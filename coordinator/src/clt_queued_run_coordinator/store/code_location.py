"""Whose run is this: the one answer for limits, counts, drains, breakers and metrics.

A run belongs to the code location of its origin, which lies in the run's body and which no user can write. Two
rows of `run_tags` name it as well, so that not every body has to be read: Dagster's label `repository@location`,
which Dagster derives from the origin, and this package's tag. Users can write both: a run's own tags come before
Dagster's label. So a row counts only if it is confirmed:

- A submit and the daemon overwrite both in queued runs. Where both name the same code location, they are right.
- Otherwise the label is right if the body doesn't hold its key, because then Dagster has written it.
- Otherwise the body is read.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as db
from sqlalchemy.ext.compiler import compiles

from clt_queued_run_coordinator._dagster import REPOSITORY_LABEL_TAG, DagsterRun, RunsTable, RunTagsTable
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY, code_location_of
from clt_queued_run_coordinator.store.rows import (
    IS_QUEUED,
    has_key,
    in_chunks,
    load_runs,
    of_runs,
    run_of,
    tags_of,
)

NAMING_TAGS = (REPOSITORY_LABEL_TAG, CLT_TAG_KEY)
"""The keys of the tags that name a run's code location."""


class RunWithoutCodeLocationError(Exception):
    """The run has no code location origin. It can't be tagged, so it must not be queued."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"Run {run_id} can't be queued: it has no code location origin, so it can't be tagged"
            f" {CLT_TAG_KEY!r}. Launch it through the webserver, the daemon or `dagster job launch`."
        )


def own_tags(run: DagsterRun) -> dict[str, str]:
    """The tags that name a run's code location, as they should be; empty if the run has no origin."""
    origin = run.remote_job_origin
    if not origin:
        return {}
    return {CLT_TAG_KEY: origin.location_name, REPOSITORY_LABEL_TAG: origin.repository_origin.get_label()}


def missing_tags(run: DagsterRun) -> dict[str, str]:
    """Those of a run's own tags that its body lacks or has with another value. Dagster's label may be left out."""
    own = own_tags(run)
    has = {REPOSITORY_LABEL_TAG: own.get(REPOSITORY_LABEL_TAG), **run.tags}
    return {key: value for key, value in own.items() if has.get(key) != value}


def needs_tags(run: DagsterRun, log: logging.Logger) -> bool:
    """Whether a run that is about to be queued has to be tagged; its origin decides.

    A different value can only come from a user, a run config or a parent run. It is overwritten with a warning.
    Otherwise users could move their runs out of a limit.

    Raises:
        RunWithoutCodeLocationError: The run has no code location origin.
    """
    code_location = code_location_of(run)
    if code_location is None:
        raise RunWithoutCodeLocationError(run.run_id)
    missing = missing_tags(run)
    for key in missing.keys() & run.tags.keys():
        log.warning(
            "Run %s carried the tag %s: %r but belongs to code location %r; the tag was overwritten.",
            *(run.run_id, key, run.tags[key], code_location),
        )
    return bool(missing)


class _Position(db.sql.functions.GenericFunction[int]):
    """Where a text begins in another one, from 1; 0 if it isn't in it. LIKE would know no case on SQLite."""

    name = "instr"
    inherit_cache = True
    type = db.Integer()


@compiles(_Position, "postgresql")
def _position_on_postgresql(element: _Position, compiler: Any, **options: Any) -> str:
    return f"strpos{compiler.process(element.clause_expr, **options)}"


def body_has(text: str) -> db.ColumnElement[bool]:
    """Whether a run's body holds a text, for a query of runs."""
    return _Position(RunsTable.c.run_body, text) > 0


def body_has_label() -> db.ColumnElement[bool]:
    """Whether a run's body holds the key of Dagster's label, for a query of runs: then a user may have set it."""
    return body_has(REPOSITORY_LABEL_TAG)


def by_rows() -> db.ColumnElement[str | None]:
    """A run's code location as far as its rows can be trusted, for a query of runs; NULL: only its body can tell.

    Runs in progress may have come past the coordinator, so their two rows may agree and be wrong.
    """
    return db.func.coalesce(db.case((IS_QUEUED, _agreed(REPOSITORY_LABEL_TAG, CLT_TAG_KEY))), _by_label())


def _by_label() -> db.ColumnElement[str | None]:
    return db.case((body_has_label(), None), else_=_agreed(REPOSITORY_LABEL_TAG))


def _agreed(*keys: str) -> db.ScalarSelect[str]:
    """What the rows of a run with these keys name; NULL unless there is one of each and all name the same."""
    tags = RunTagsTable.alias()
    label, carried = tags.c.value, tags.c.value
    name = db.case(
        (tags.c.key == REPOSITORY_LABEL_TAG, db.func.substr(label, _Position(label, "@") + 1)), else_=carried
    )
    lowest, are_all_there = db.func.min(name), db.func.count(tags.c.key.distinct()) == len(keys)
    agree = db.case((db.and_(lowest == db.func.max(name), are_all_there), lowest))
    return db.select(agree).where(has_key(tags, keys)).correlate(RunsTable).scalar_subquery()


def by_bodies(connection: db.Connection, storage_ids: Iterable[int]) -> Iterator[tuple[int, str | None]]:
    """The code location of each run according to its body, with the storage's id; None if the body names none."""
    query = db.select(RunsTable.c.id, RunsTable.c.run_body)
    for storage_id, body in of_runs(connection, query, storage_ids):
        yield storage_id, code_location_of(run_of(body))


def origins(connection: db.Connection, storage_ids: Iterable[int]) -> dict[int, str | None]:
    """The code location of each run, by the storage's id; None if it has no origin.

    Runs may have come past the coordinator, so two rows that agree don't count here: the answer may be kept. The
    connection is from `transaction.reading`.
    """
    found = dict(of_runs(connection, db.select(RunsTable.c.id, _by_label()), storage_ids))
    return found | dict(by_bodies(connection, [storage_id for storage_id, name in found.items() if name is None]))


class QueuedRow(NamedTuple):
    """What a queued run's place in the queue depends on; it has no code location if it has no origin."""

    job: str
    code_location: str | None
    tags: Mapping[str, str]
    is_tagged: bool
    """Whether both tags that name its code location are right, in the rows and in the body."""


def look_up(connection: db.Connection, storage_ids: Sequence[int], keys: Iterable[str]) -> dict[int, QueuedRow]:
    """Look up queued runs, by the storage's id; those that have left the queue are left out.

    The keys are those of the tags to look up. Of a tag with several rows that differ, the body's value counts, as
    it does for Dagster's daemon and UI.
    """
    found: dict[int, QueuedRow] = {}
    query = db.select(RunsTable.c.id, RunsTable.c.pipeline_name, body_has_label()).where(IS_QUEUED)
    for chunk in in_chunks(storage_ids):
        runs = list(of_runs(connection, query, chunk))
        rows = tags_of(connection, [storage_id for storage_id, *_ in runs], {*keys, *NAMING_TAGS})
        doubtful: dict[int, str] = {}
        for storage_id, job, is_in_body in runs:
            clear = None if is_in_body else from_rows(job, rows.get(storage_id, []))
            if clear:
                found[storage_id] = clear
            else:
                doubtful[storage_id] = job
        bodies = load_runs(connection, doubtful)
        for storage_id, job in doubtful.items():
            found[storage_id] = _from_body(job, rows.get(storage_id, []), bodies.get(storage_id))
    return found


def from_rows(job: str, rows: Sequence[tuple[str, str]]) -> QueuedRow | None:
    """The run if its rows are clear; None if they differ or lack Dagster's label."""
    tags = dict(rows)
    label = tags.get(REPOSITORY_LABEL_TAG)
    carried = [value for key, value in rows if key == CLT_TAG_KEY]
    differ = any(tags[key] != value for key, value in rows if key != CLT_TAG_KEY)
    if label is None or differ:
        return None
    name = label.partition("@")[2]
    return QueuedRow(job, name, tags, carried == [name])


def _from_body(job: str, rows: Sequence[tuple[str, str]], run: DagsterRun | None) -> QueuedRow:
    if run is None:
        return QueuedRow(job, None, dict(rows), is_tagged=True)
    own = own_tags(run)
    naming = sorted(row for row in rows if row[0] in own)
    is_tagged = naming == sorted(own.items()) and not missing_tags(run)
    return QueuedRow(job, code_location_of(run), run.tags, is_tagged)
