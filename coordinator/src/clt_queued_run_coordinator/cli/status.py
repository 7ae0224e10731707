"""`dagster-clt status`."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.console import Group as Parts
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from clt_queued_run_coordinator.cli.instance import open_instance, read_queue
from clt_queued_run_coordinator.cli.options import interval_option, output_option
from clt_queued_run_coordinator.cli.output import TableConsole, echo_json, echo_table
from clt_queued_run_coordinator.operate import status as of_the_queue
from clt_queued_run_coordinator.operate.status import CodeLocationStatus, Status
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.text.formats import count, duration, signed_duration, timestamp
from clt_queued_run_coordinator.text.safe import safe
from clt_queued_run_coordinator.text.tables import Column, TextTable


@click.command()
@click.option("--watch", is_flag=True, help="Refresh the table in place until Ctrl-C.")
@interval_option(help="How often to refresh; only with --watch.")
@output_option
def status(watch: bool, interval: float, output: str) -> None:
    """Show each code location's runs and limit, and what it is waiting for.

    Also shows where the limit comes from, live changes with their end and reason and, with fair sharing, each code
    location's share and its credit: by how much it has had less than its share lately.
    """
    if watch and output == "json":
        raise click.UsageError("--watch shows a table; leave out --output json.")
    with open_instance() as (instance, coordinator):

        def read() -> Status:
            return of_the_queue.read(instance, read_queue(instance, coordinator))

        if output == "json":
            echo_json(read().as_data())
        elif not watch:
            echo_table(status_table(read()))
        else:
            with Live(status_table(read()), console=TableConsole(), auto_refresh=False) as display:
                try:
                    while True:
                        time.sleep(interval)
                        display.update(status_table(read()), refresh=True)
                except KeyboardInterrupt:
                    return


def _number(heading: str, value: Callable[[Any], Any], shown: Callable[[Any], str] = str) -> Column:
    return Column(heading, value, shown, justify="right", is_spare=heading in {"MIN", "WEIGHT", "CREDIT"})


_SLOTS = _number("SLOTS", lambda line: line.in_progress_slots)
_COUNTS = [
    _number("IN PROGRESS", lambda line: line.in_progress),
    _SLOTS,
    _number("LIMIT", lambda line: line.limit),
    _number("MIN", lambda line: line.min),
]
_SHARES = [
    _number("WEIGHT", lambda line: line.weight, "{:g}".format),
    _number("SHARE", lambda line: line.share, "{:.1f}".format),
    _number("CREDIT", lambda line: line.credit_slot_seconds, signed_duration),
]
OF_CODE_LOCATIONS = [
    Column("CODE LOCATION", lambda line: line.code_location),
    _number("QUEUED", lambda line: line.queued if line.max_queued is None else f"{line.queued}/{line.max_queued}"),
    *_COUNTS,
    Column("FROM", lambda line: line.limit_from, is_spare=True),
    *_SHARES,
    _number("OLDEST", lambda line: line.oldest_queued_seconds, duration),
    Column("WAITS FOR", lambda line: line.waits_for, wraps=True),
]
OF_GROUPS = [
    Column("GROUP", lambda line: line.group),
    _number("QUEUED", lambda line: line.queued),
    *_COUNTS,
    *_SHARES,
    Column("WAITS FOR", lambda line: line.waits_for),
    Column("CODE LOCATIONS", lambda line: line.locations, ", ".join, wraps=True),
]


def status_table(status: Status) -> RenderableType:
    """A table of the code locations, one of the groups, a line for each change in force, and a summary."""
    minimums = [*(line.min for line in status.code_locations), *(line.min for line in status.groups)]
    hidden = [*([] if any(minimums) else _COUNTS[-1:]), *([] if status.sharing == "fair" else _SHARES)]
    hidden += [_SLOTS] if status.in_progress_slots is None else []
    parts: list[RenderableType] = [
        TextTable([column for column in columns if column not in hidden], lines)
        for columns, lines in ((OF_CODE_LOCATIONS, status.code_locations), (OF_GROUPS, status.groups))
        if lines or columns is OF_CODE_LOCATIONS
    ]
    changes = [Text(safe(line)) for line in _changes(status)]
    parts += [Parts(*changes)] if changes else []
    return Parts(*(of_it for part in parts for of_it in (part, Text())), Text(_summary(status)))


NAMED = 3
"""A change of many code locations names this many of them and counts the rest."""


def _changes(status: Status) -> Iterator[str]:
    """A line for each live change or window in force, for which the table has no room."""
    alike: dict[str, list[str]] = {}
    for line in status.code_locations:
        alike.setdefault(_change(line), []).append(line.code_location)
    for what, names in alike.items():
        if what:
            others = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            yield f"{', '.join(names[:NAMED])}{others}: {what}"


_CHANGED = {Source.LIVE.value: "limit set live", Source.BREAKER.value: "circuit breaker open"}
"""Where a limit comes from, where one word for a column is too short for a sentence."""


def _change(line: CodeLocationStatus) -> str:
    parts = [_CHANGED.get(line.limit_from, line.limit_from)]
    if line.changed_until:
        parts.append(f"until {timestamp(line.changed_until)}")
    if line.changed_by and line.changed_at:
        parts.append(f"by {line.changed_by} at {timestamp(line.changed_at)}")
    if len(parts) == 1:
        return ""
    return " ".join(parts) + (f": {line.change_reason}" if line.change_reason else "")


def _summary(status: Status) -> str:
    slots, most = status.in_progress_slots, status.max_concurrent_runs
    total = "no max_concurrent_runs" if most == -1 else f"of {most}"
    if slots is not None:
        total = f"{count(slots, 'slot')}, {total}" if most == -1 else f"{slots} of {most} slots"
    without = status.without_code_location
    others = f", {without} of them without a code location" if without else ""
    daemon = f"; dequeued by {safe(status.dequeued_by)}" if status.dequeued_by else ""
    runs = f"{status.in_progress} in progress ({total}){others}; {status.queued} queued"
    return f"{runs}; sharing {status.sharing}{daemon}"
