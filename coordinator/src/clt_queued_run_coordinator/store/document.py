"""Documents in Dagster's key-value store, a table of the run database: one JSON text under each key.

A stored text may be anything: another version or a person may have written it. What can't be read counts as not
stored, so reading never raises. `config.plain_data` does the same for the parts of a document.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import sqlalchemy as db
from sqlalchemy.dialects import postgresql, sqlite

from clt_queued_run_coordinator._dagster import DagsterInstance, KeyValueStoreTable, run_database

_COLUMNS = KeyValueStoreTable.c


def read(connection: db.Connection, key: str) -> Any:
    """The document under a key as plain data; None if there is none or it can't be read."""
    return parse(connection.execute(db.select(_COLUMNS.value).where(_COLUMNS.key == key)).scalar())


def read_texts(connection: db.Connection, prefix: str) -> dict[str, str]:
    """The texts under all keys with a prefix, by key without it, in the order in which the keys were added."""
    query = db.select(_COLUMNS.key, _COLUMNS.value).where(begins_with(prefix)).order_by(_COLUMNS.id)
    return {key.removeprefix(prefix): text for key, text in connection.execute(query).all()}


def begins_with(prefix: str) -> db.ColumnElement[bool]:
    """Whether a key begins with a prefix."""
    return _COLUMNS.key.startswith(prefix, autoescape=True)


def parse(text: str | None) -> Any:
    """A stored text as plain data; None if it isn't JSON, is too deep, or holds what nobody can display."""
    try:
        data = json.loads(text or "null", parse_constant=_refuse)
        if "\\u" in (text or ""):  # an escaped lone surrogate, which no terminal and no database takes
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def write(where: DagsterInstance | db.Connection, key: str, data: Any) -> None:
    """Store plain data under a key, whether there is a document or not."""
    if isinstance(where, db.Connection):
        put(where, {key: json.dumps(data)})
        return
    with run_database(where).connect() as connection:
        write(connection, key, data)


def insert(connection: db.Connection) -> postgresql.Insert | sqlite.Insert:
    """An insert of documents, of the database's own kind, which can say what becomes of one that is there."""
    is_postgresql = connection.dialect.name == "postgresql"
    return postgresql.insert(KeyValueStoreTable) if is_postgresql else sqlite.insert(KeyValueStoreTable)


def put(connection: db.Connection, texts: Mapping[str, str]) -> None:
    """Store texts by key, whether there are others or not."""
    new = insert(connection)
    upsert = new.on_conflict_do_update(index_elements=[_COLUMNS.key], set_={"value": new.excluded.value})
    if texts:
        connection.execute(upsert, [{"key": key, "value": text} for key, text in texts.items()])


def delete(connection: db.Connection, keys: Iterable[str]) -> None:
    """Delete what is stored under keys."""
    connection.execute(KeyValueStoreTable.delete().where(_COLUMNS.key.in_(list(keys))))
