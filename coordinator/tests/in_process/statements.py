"""Counts SQL statements."""

import sqlalchemy


class Statements:
    """Counts the SQL statements that an instance's run and event storages execute."""

    def __init__(self) -> None:
        self.executed: list[str] = []

    def __enter__(self) -> "Statements":
        sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", self._count)

    def _count(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        # What is said to begin a connection or a transaction is no reading and no writing.
        if (
            not statement.startswith(("PRAGMA", "SAVEPOINT", "RELEASE", "BEGIN", "SET LOCAL"))
            and "pg_catalog.version" not in statement
        ):
            self.executed.append(statement)
