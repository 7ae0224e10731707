"""The images of the runs that haven't ended: each run keeps the one that its code server had at its creation."""

from collections import Counter
from dataclasses import dataclass

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import (
    IN_PROGRESS_STATUSES,
    DagsterInstance,
    DagsterRunStatus,
    RunsTable,
    run_database,
)
from clt_queued_run_coordinator.config.tag import code_location_of
from clt_queued_run_coordinator.store.rows import of_runs, run_of


@dataclass(frozen=True)
class ImageInUse:
    """An image with how many runs of one code location use it.

    Attributes:
        image: Its name; None for runs without one, as on one machine.
        code_location: None for runs that don't tell it.
    """

    image: str | None
    code_location: str | None
    queued: int
    in_progress: int


def read(instance: DagsterInstance) -> list[ImageInUse]:
    """The images in use, by name and code location.

    What a run was created with is in its body, which no user can write; its tags could say anything. All of the
    bodies are read, a few hundred at a time.
    """
    queued: Counter[tuple[str | None, str | None]] = Counter()
    in_progress: Counter[tuple[str | None, str | None]] = Counter()
    statuses = [status.value for status in (DagsterRunStatus.QUEUED, *IN_PROGRESS_STATUSES)]
    columns = RunsTable.c
    is_in_use = columns.status.in_(statuses)
    with run_database(instance).connect() as connection:
        ids = connection.execute(db.select(columns.id).where(is_in_use)).scalars().all()
        query = db.select(columns.status, columns.run_body).where(is_in_use)
        for status, body in of_runs(connection, query, ids):
            run = run_of(body)
            origin = run and run.job_code_origin
            image = origin.repository_origin.container_image if origin else None
            counted = queued if status == DagsterRunStatus.QUEUED.value else in_progress
            counted[image, code_location_of(run) if run else None] += 1
    pairs = sorted({*queued, *in_progress}, key=lambda pair: (pair[0] or "", pair[1] or ""))
    return [ImageInUse(*pair, queued[pair], in_progress[pair]) for pair in pairs]
