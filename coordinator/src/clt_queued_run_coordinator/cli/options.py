"""Arguments and options that several commands share."""

import functools
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click

from clt_queued_run_coordinator.config.duration import EXAMPLES, moment_of, seconds_of
from clt_queued_run_coordinator.text.safe import typed_line

T = TypeVar("T")


def _parsed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A parser for click: it raises BadParameter for a ValueError, with its message."""

    @functools.wraps(parse)
    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return parsed


@_parsed
def parse_duration(text: str) -> timedelta:
    """A length of time, such as `2h`; raises BadParameter."""
    return timedelta(seconds=seconds_of(text))


output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="`table` for people, `json` for scripts.",
)


class _Seconds(click.FloatRange):
    """Seconds to sleep. Click's own range has `nan` in it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; BadParameter where it isn't one, or is too small or too large."""
        seconds = float(super().convert(value, param, ctx))
        return self.fail(f"{value} is not a number", param, ctx) if math.isnan(seconds) else seconds


interval_option = functools.partial(
    click.option,
    "--interval",
    type=_Seconds(0.1, 86_400),
    metavar="SECONDS",
    default=2.0,
    show_default=True,
)

_END_OPTIONS = (
    click.option(
        "--for",
        "lasts",
        metavar="DURATION",
        type=parse_duration,
        help=f"Undo the change automatically after this long, {EXAMPLES}.",
    ),
    click.option(
        "--until",
        metavar="TIME",
        type=_parsed(moment_of),
        help="Undo the change automatically at this time, such as 2026-12-24T18:00+01:00.",
    ),
)

_SIGNING_OPTIONS = (
    click.option(
        "--reason",
        metavar="TEXT",
        type=_parsed(typed_line),
        help="Why, in one line; `status` and `history` show it.",
    ),
    click.option(
        "--by",
        metavar="NAME",
        envvar="DAGSTER_CLT_BY",
        show_envvar=True,
        type=_parsed(typed_line),
        help="Who makes the change, as `status` and `history` show it; by default the user and the machine.",
    ),
)

_FORCE_OPTION = click.option(
    "--force", is_flag=True, help="Accept a name that is in no workspace and that no run was ever queued from."
)


def signing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a command that the history tells of: `reason` and `by`."""
    for option in reversed(_SIGNING_OPTIONS):
        command = option(command)
    return command


def change_options(
    *, every_one: str = "", ends: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add LOCATION and the options of a command that changes something.

    The command is called with `code_location`, `reason`, `by` and `force`. With `every_one`, the help of `--all`,
    it takes that instead of LOCATION, which is None then. A change that can end by itself has an `until` too: the
    time, or how long.
    """
    options = [
        click.argument("code_location", metavar="[LOCATION]" if every_one else "LOCATION", required=not every_one),
        *([click.option("--all", "is_all", is_flag=True, help=every_one)] if every_one else []),
        *(_END_OPTIONS if ends else ()),
        *(*_SIGNING_OPTIONS, _FORCE_OPTION),
    ]

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def checked(*, is_all: bool = False, lasts: timedelta | None = None, **given: Any) -> None:
            if lasts is not None and given["until"] is not None:
                raise click.UsageError("Give --for or --until, not both.")
            if (given["code_location"] is None) != is_all:
                raise click.UsageError("Name one LOCATION, or give --all.")
            command(**given if lasts is None else {**given, "until": lasts})

        with_options: Callable[..., None] = checked
        for option in reversed(options):
            with_options = option(with_options)
        return with_options

    return add
