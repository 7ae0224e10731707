"""Counts the refused submits of each code location, each in a document of its own in the instance's database."""

import sqlalchemy as db

from clt_queued_run_coordinator._dagster import DagsterInstance, run_database
from clt_queued_run_coordinator.config import plain_data
from clt_queued_run_coordinator.store import document

PREFIX = "clt_queued_run_coordinator.refused/"


def count_refused(instance: DagsterInstance, code_location: str) -> None:
    """Count one refused submit, while the submits of the code location are locked."""
    key = f"{PREFIX}{code_location}"
    with run_database(instance).connect() as connection:
        document.write(connection, key, (plain_data.count(document.read(connection, key)) or 0) + 1)


def read_refused(connection: db.Connection) -> dict[str, int]:
    """The number of submits ever refused, for each code location that has any."""
    stored = document.read_texts(connection, PREFIX)
    return {name: refused for name, text in stored.items() if (refused := plain_data.count(document.parse(text)))}
