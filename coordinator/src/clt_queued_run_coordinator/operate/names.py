"""The names of code locations that are known, and so accepted by the commands."""

import json
from collections.abc import Collection

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, RunsTable, RunTagsTable, run_database
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.config.tag import CLT_TAG_KEY
from clt_queued_run_coordinator.operate import now, workspace
from clt_queued_run_coordinator.store.code_location import body_has, by_bodies
from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.similar_names import likely_meant

LOOKED_AT = 20
"""The most runs with a name in their tag whose bodies are read."""


def known(instance: DagsterInstance, settings: Settings) -> set[str]:
    """The code locations that have a limit, have or had runs, or are in the workspace."""
    found = workspace.find()
    return {
        *now.read(instance, settings).state.limits,
        *of_all_runs(instance),
        *(found.code_locations if found else ()),
    }


def refuse_unknown(name: str, names: Collection[str]) -> None:
    """Refuse a name that is not among the known ones.

    Raises:
        RefusalError: It is refused; the message suggests the name that was likely meant.
    """
    if name in names:
        return
    meant = likely_meant(name, names)
    hint = f"did you mean {meant!r}?" if meant else f"known are: {', '.join(sorted(names)) or 'none'}."
    raise RefusalError(
        f"No run was ever queued from a code location {name!r}; {hint} --force accepts the name anyway."
    )


def of_all_runs(instance: DagsterInstance) -> set[str]:
    """The names of all code locations that a run was ever tagged with and came from.

    It takes one lookup in the index on keys and values for each name, whatever the number of runs. For a DISTINCT,
    neither database would skip from one value to the next. A run that came past the coordinator may carry any
    name.
    """
    key, value = RunTagsTable.c.key, RunTagsTable.c.value
    first = db.select(value).where(key == CLT_TAG_KEY, value.is_not(None)).order_by(value).limit(1)
    tagged = db.select(first.scalar_subquery().label("name")).cte("known", recursive=True)
    following = db.select(value).where(key == CLT_TAG_KEY, value > tagged.c.name).order_by(value).limit(1)
    step = db.select(following.scalar_subquery()).select_from(tagged).where(tagged.c.name.is_not(None))
    names = tagged.union_all(step)
    with run_database(instance).connect() as connection:
        found = connection.execute(db.select(names.c.name).where(names.c.name.is_not(None))).scalars().all()
        return {name for name in found if _came_from(connection, name)}


def _came_from(connection: db.Connection, name: str) -> bool:
    tags = RunTagsTable.c
    ids = (
        db.select(RunsTable.c.id)
        .select_from(RunsTable.join(RunTagsTable, tags.run_id == RunsTable.c.run_id))
        .where(tags.key == CLT_TAG_KEY, tags.value == name, body_has(f'"location_name": {json.dumps(name)}'))
        .limit(LOOKED_AT)
    )
    storage_ids = connection.execute(ids).scalars().all()
    return any(origin == name for _, origin in by_bodies(connection, storage_ids))
