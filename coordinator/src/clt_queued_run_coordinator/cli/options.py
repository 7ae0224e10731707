"""Arguments and options that several commands share."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import click

from clt_queued_run_coordinator.config.duration import EXAMPLES, seconds_of
from clt_queued_run_coordinator.text.safe import LONGEST_CELL

Command = TypeVar("Command", bound=Callable[..., Any])

LATEST = datetime(9000, 1, 1, tzinfo=timezone.utc)
"""The latest end of a change: calculating with a later one could overflow."""


def parse_duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> timedelta | None:
    """Parse a length of time, such as `2h`.

    Raises:
        click.BadParameter: It isn't one.
    """
    if value is None:
        return None
    try:
        return timedelta(seconds=seconds_of(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def parse_time(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Parse a date and time with an offset, such as `2026-12-24T18:00+01:00`, and convert it to UTC.

    Raises:
        click.BadParameter: It isn't one, or lacks the offset.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        # Python 3.10 doesn't know the Z.
        time = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in {"Z", "z"} else text)
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is not a date and time; write one such as 2026-12-24T18:00+01:00"
        ) from error
    if time.tzinfo is None:
        raise click.BadParameter(
            f"{value!r} lacks its offset from UTC; write it such as 2026-12-24T18:00+01:00, or"
            " 2026-12-24T17:00Z for UTC"
        )
    try:
        in_utc = time.astimezone(timezone.utc)
    except OverflowError:
        in_utc = LATEST
    if in_utc >= LATEST:
        raise click.BadParameter(f"{value!r} is too far in the future; leave --until out for a change without end")
    return in_utc


def parse_line(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Parse one line of text.

    Raises:
        click.BadParameter: It is empty, too long, or not printable.
    """
    if value is None:
        return None
    text = " ".join(value.split())
    if not text:
        raise click.BadParameter("it is empty; write something, or leave it out")
    if not text.isprintable():
        raise click.BadParameter("it contains characters that can't be printed; leave them out")
    if len(text) > LONGEST_CELL:
        raise click.BadParameter(f"it has {len(text)} characters; shorten it to {LONGEST_CELL}")
    return text


location_argument = click.argument("code_location", metavar="LOCATION")

force_option = click.option(
    "--force", is_flag=True, help="Accept a name that is in no workspace and that no run was ever queued from."
)

output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="`table` for people, `json` for scripts.",
)


def end_options(command: Command) -> Command:
    """Add `--for` and `--until` to a command, as its arguments `lasts` and `until`; see `end_of_change`."""
    lasts = click.option(
        "--for",
        "lasts",
        metavar="DURATION",
        callback=parse_duration,
        help=f"Undo the change automatically after this long, {EXAMPLES}.",
    )
    until = click.option(
        "--until",
        metavar="TIME",
        callback=parse_time,
        help="Undo the change automatically at this time, such as 2026-12-24T18:00+01:00.",
    )
    return lasts(until(command))


def end_of_change(lasts: timedelta | None, until: datetime | None) -> timedelta | datetime | None:
    """When a change ends by itself, from the values of `end_options`.

    Raises:
        click.UsageError: Both were given.
    """
    if lasts is not None and until is not None:
        raise click.UsageError("Give --for or --until, not both.")
    return until if lasts is None else lasts


def change_options(command: Command) -> Command:
    """Add `--reason` and `--by` to a command that changes something, as its arguments of these names."""
    reason = click.option(
        "--reason", metavar="TEXT", callback=parse_line, help="Why, in one line; `status` and `history` show it."
    )
    by = click.option(
        "--by",
        metavar="NAME",
        envvar="DAGSTER_CLT_BY",
        show_envvar=True,
        callback=parse_line,
        help="Who makes the change, as `status` and `history` show it; by default the user and the machine.",
    )
    return reason(by(command))


def interval_option(what: str) -> Callable[[Command], Command]:
    """Add `--interval` to a command that looks again and again, as its argument `interval`, in seconds.

    Args:
        what: The option's help.
    """
    return click.option(
        "--interval", type=_Seconds(), metavar="SECONDS", default=2.0, show_default=True, help=what
    )


class _Seconds(click.FloatRange):
    """Seconds to sleep. Click's own range has `nan` in it."""

    def __init__(self) -> None:
        super().__init__(0.1, 86_400)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number.

        Raises:
            click.BadParameter: It isn't one, or is too small or too large.
        """
        seconds = float(super().convert(value, param, ctx))
        return self.fail(f"{value} is not a number", param, ctx) if math.isnan(seconds) else seconds


def one_or_all_options(every_one: str) -> Callable[[Command], Command]:
    """Add LOCATION or `--all` to a command, as `code_location` and `every_one`; see `require_one_or_all`.

    Args:
        every_one: The help of `--all`.
    """

    def add(command: Command) -> Command:
        argument = click.argument("code_location", metavar="[LOCATION]", required=False)
        return argument(click.option("--all", "every_one", is_flag=True, help=every_one)(command))

    return add


def require_one_or_all(code_location: str | None, every_one: bool) -> None:
    """Refuse both a name and `--all`, and neither.

    Raises:
        click.UsageError: It is refused.
    """
    if (code_location is None) != every_one:
        raise click.UsageError("Name one LOCATION, or give --all.")
