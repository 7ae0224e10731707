"""What a PostgreSQL's log tells of the connections that each program opened, and of what they were busy with."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg2
from tests.postgresql import PostgreSQL

SETTINGS = {
    "log_line_prefix": "%n|%p|%a|",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_min_duration_statement": "0",
}
"""What the log must hold, for the connections that are opened from then on."""

_LINE = re.compile(r"(?P<time>\d+\.\d+)\|(?P<pid>\d+)\|(?P<program>[^|]*)\|LOG:  (?P<text>.*)")
_STATEMENT = re.compile(r"duration: (?P<milliseconds>[\d.]+) ms  statement: (?P<begin>\w*)")
_AUTHORIZED = "connection authorized:"
_APPLICATION = re.compile(r"application_name=(?P<program>.*?)(?: SSL enabled.*)?$")
_DISCONNECTED = re.compile(r"disconnection: session time: (?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>[\d.]+) ")


@dataclass(frozen=True)
class Interval:
    """A span of time, in seconds since the epoch."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin


@dataclass(frozen=True)
class Connections:
    """The connections of one program.

    Attributes:
        opened: How many were opened.
        open: When each was open, those too that were opened before.
        busy: When each ran a statement or was in a transaction. For no longer does transaction pooling keep a
            connection of the server.
    """

    opened: int
    open: tuple[Interval, ...]
    busy: tuple[Interval, ...]


def at_once(intervals: Iterable[Interval]) -> int:
    """How many of the intervals overlap at most; one that begins where another ends doesn't."""
    changes = sorted((time, change) for each in intervals for time, change in ((each.begin, 1), (each.end, -1)))
    most = current = 0
    for _, change in changes:
        current += change
        most = max(most, current)
    return most


def record(server: PostgreSQL) -> None:
    """Let a server's log hold its connections and statements from here on."""
    for name, value in SETTINGS.items():
        server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.execute("SELECT pg_reload_conf()")


def position(server: PostgreSQL) -> int:
    """The end of the server's log."""
    return (server.folder / "log").stat().st_size


def read(server: PostgreSQL, program: str, since: int) -> Connections:
    """What a program did, by the server's log and by what is open now.

    Args:
        server: The server, after `record`.
        program: The name that it connects under, as `PGAPPNAME` sets it.
        since: A `position` in the log.
    """
    with closing(psycopg2.connect(server.url("postgres"))) as connection, connection.cursor() as cursor:
        cursor.execute(_STILL_OPEN, (program,))
        still_open = [Interval(float(begin), float(now)) for begin, now in cursor.fetchall()]
    with (server.folder / "log").open("rb") as log:
        log.seek(since)
        lines = log.read().decode(errors="replace").splitlines()
    return of(program, lines, still_open)


_STILL_OPEN = """
    SELECT extract(epoch FROM backend_start), extract(epoch FROM clock_timestamp())
    FROM pg_stat_activity WHERE application_name = %s
"""


def of(program: str, lines: Sequence[str], still_open: Sequence[Interval] = ()) -> Connections:
    """The connections of a program.

    Args:
        program: Its name.
        lines: The log's lines.
        still_open: The connections that haven't ended.
    """
    opened: dict[str, float] = {}
    begun: dict[str, float] = {}
    free: dict[str, float] = {}
    is_open: list[Interval] = list(still_open)
    is_busy: list[Interval] = []
    for time, pid, text in _lines_of(program, lines):
        if text.startswith(_AUTHORIZED):
            opened[pid] = free[pid] = time
        elif ended := _DISCONNECTED.match(text):
            is_open.append(Interval(opened.get(pid, time - _seconds(ended)), time))
        elif statement := _STATEMENT.match(text):
            # The log's times are in whole milliseconds: a statement can't have begun before the last one's end.
            began = max(free.get(pid, 0), time - float(statement["milliseconds"]) / 1000)
            free[pid] = time
            if statement["begin"].upper() == "BEGIN":
                begun[pid] = began
            elif statement["begin"].upper() in ("COMMIT", "ROLLBACK"):
                is_busy.append(Interval(begun.pop(pid, began), time))
            elif pid not in begun:
                is_busy.append(Interval(began, time))
    return Connections(len(opened), tuple(is_open), tuple(is_busy))


def _seconds(ended: re.Match[str]) -> float:
    """The session time of a disconnection."""
    return 3600 * int(ended["hours"]) + 60 * int(ended["minutes"]) + float(ended["seconds"])


def _lines_of(program: str, lines: Iterable[str]) -> Iterator[tuple[float, str, str]]:
    """Time, process and text of the lines about a program; the server learns its name in the first one."""
    names: dict[str, str] = defaultdict(str)
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue  # a statement's further lines
        if found["text"].startswith(_AUTHORIZED):
            application = _APPLICATION.search(found["text"])
            names[found["pid"]] = application["program"] if application else ""
        if program in (found["program"], names[found["pid"]]):
            yield float(found["time"]), found["pid"], found["text"]
