"""The table that `dagster-clt status` prints."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clt_queued_run_coordinator.view.status import CodeLocationStatus, Status


def status_table(status: Status) -> RenderableType:
    """A line for each code location, and one for the whole queue below them."""
    is_fair = status.sharing == "fair"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("CODE LOCATION", no_wrap=True)
    for heading in ("QUEUED", "IN PROGRESS", "LIMIT"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("FROM", no_wrap=True)
    if is_fair:
        table.add_column("WEIGHT", justify="right", no_wrap=True)
        table.add_column("SHARE", justify="right", no_wrap=True)
        table.add_column("USED", justify="right", no_wrap=True)
    table.add_column("OLDEST", justify="right", no_wrap=True)
    table.add_column("WAITS FOR")
    for line in status.code_locations:
        shares = [f"{line.weight:g}", *_share(line)] if is_fair else []
        table.add_row(
            Text(line.code_location),
            str(line.queued),
            str(line.in_progress),
            "-" if line.limit is None else str(line.limit),
            _from(line),
            *shares,
            "-" if line.oldest_queued_seconds is None else age(line.oldest_queued_seconds),
            line.waits_for,
        )
    return Group(table, Text(), Text(_summary(status)))


def _share(line: CodeLocationStatus) -> list[str]:
    return [
        "-" if line.share is None else str(line.share),
        "-" if line.used_slot_seconds is None else age(line.used_slot_seconds),
    ]


def _from(line: CodeLocationStatus) -> str:
    if line.changed_by and line.changed_at:
        return f"{line.limit_from} ({line.changed_by}, {line.changed_at[:16].replace('T', ' ')} UTC)"
    return line.limit_from


def _summary(status: Status) -> str:
    total = "no max_concurrent_runs" if status.max_concurrent_runs == -1 else f"of {status.max_concurrent_runs}"
    others = (
        f", {status.without_code_location} of them without a code location" if status.without_code_location else ""
    )
    return f"{status.in_progress} in progress ({total}){others}; {status.queued} queued; sharing {status.sharing}"


def age(seconds: float) -> str:
    """A length of time in its two largest units.

    Args:
        seconds: Its length.
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"
