"""Options that several commands share: when a change ends by itself, and why it is made."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import click

from clt_queued_run_coordinator.limits.duration import EXAMPLES, seconds_of
from clt_queued_run_coordinator.text.one_line import LONGEST

Command = TypeVar("Command", bound=Callable[..., Any])

LATEST = datetime(9000, 1, 1, tzinfo=timezone.utc)
"""The latest end of a change; behind it there is no room to reckon in."""


def as_length(_ctx: click.Context, _param: click.Parameter, value: str | None) -> timedelta | None:
    """An option's value as a length of time, such as `2h`.

    Raises:
        click.BadParameter: It is none.
    """
    if value is None:
        return None
    try:
        return timedelta(seconds=seconds_of(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def as_moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """An option's value as a moment in UTC, such as `2026-12-24T18:00+01:00`.

    Raises:
        click.BadParameter: It is none, or doesn't say its offset from UTC.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        # Python 3.10 doesn't know the Z.
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in {"Z", "z"} else text)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no moment; write one such as 2026-12-24T18:00+01:00") from error
    if moment.tzinfo is None:
        raise click.BadParameter(
            f"{value!r} doesn't say its offset from UTC; write one such as 2026-12-24T18:00+01:00, or"
            " 2026-12-24T17:00Z for UTC"
        )
    try:
        in_utc = moment.astimezone(timezone.utc)
    except OverflowError:
        in_utc = LATEST
    if in_utc >= LATEST:
        raise click.BadParameter(f"{value!r} is too far away; leave the end out")
    return in_utc


def as_reason(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """An option's value as a line of text.

    Raises:
        click.BadParameter: It is empty, too long, or can't be shown.
    """
    if value is None:
        return None
    text = " ".join(value.split())
    if not text:
        raise click.BadParameter("it is empty; say why, or leave it out")
    if not text.isprintable():
        raise click.BadParameter("it has characters that can't be shown; leave them out")
    if len(text) > LONGEST:
        raise click.BadParameter(f"it has {len(text)} characters; shorten it to {LONGEST}")
    return text


WithReason = click.option(
    "--reason", metavar="TEXT", callback=as_reason, help="Why; `status` and `history` show it."
)


def with_end(command: Command) -> Command:
    """Give a command `--for` and `--until`, as its arguments `lasts` and `until`; see `end_of`."""
    lasts = click.option(
        "--for", "lasts", metavar="TIME", callback=as_length, help=f"End it by itself after this time, {EXAMPLES}."
    )
    until = click.option(
        "--until",
        metavar="MOMENT",
        callback=as_moment,
        help="End it by itself at this moment, such as 2026-12-24T18:00+01:00.",
    )
    return lasts(until(command))


def end_of(lasts: timedelta | None, until: datetime | None) -> timedelta | datetime | None:
    """When a change ends by itself, as `with_end` took it.

    Raises:
        click.UsageError: Both were given.
    """
    if lasts is not None and until is not None:
        raise click.UsageError("Give --for or --until, not both.")
    return until if lasts is None else lasts
