"""What a command says, and its exit code, where something goes wrong."""

import errno
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.safe import describe, safe

DATABASE_PACKAGES = {"alembic", "dagster_mysql", "dagster_postgres", "psycopg2", "sqlalchemy", "sqlite3"}
"""The packages whose errors are the database's, or those of the way to it."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The errors of a file that can't become larger."""


@contextmanager
def told(*, verbose: bool) -> Iterator[None]:
    """Tell in one line what goes wrong, and end the program with the exit code for it.

    That is 1, and what shells give for it after Ctrl-C (130) and where the reader of the output is gone (141). If
    it is verbose, also show the traceback, and what libraries log.
    """
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal's encoding hasn't is no error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not verbose:
        logging.getLogger().addHandler(logging.NullHandler())  # Dagster logs each retry of a connection
    try:
        yield
    except (click.exceptions.Exit, click.Abort):
        raise
    except click.ClickException as error:
        error.message = safe(error.message)  # type: ignore[misc]
        _show_traceback(error.__cause__ if verbose else None)
        raise
    except RefusalError as error:
        raise click.ClickException(safe(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:
        _drop_output()
        raise SystemExit(128 + signal.SIGPIPE) from None
    except Exception as error:
        _show_traceback(error if verbose else None)
        if is_of_the_database(error):
            what = f"The instance's database can't be used: {describe(error).rstrip('.')}"
            how = "see that it runs, and that `storage` in dagster.yaml leads to it"
            raise click.ClickException(safe(f"{what}; {how}.")) from error
        if isinstance(error, OSError) and error.errno in _FULL:
            _drop_output()
            raise click.ClickException(f"{error.strerror}: {safe(error.filename or 'the output')}") from error
        what = f"This is a bug in dagster-clt: {type(error).__name__}: {describe(error).rstrip('.')}"
        how = "" if verbose else "; `dagster-clt -v COMMAND` shows where"
        raise click.ClickException(safe(f"{what}{how}.")) from error


def _drop_output() -> None:
    """Let nothing more be written to standard output, or Python would complain at its end."""
    with suppress(OSError, ValueError):  # it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_of_the_database(error: BaseException) -> bool:
    """Whether an error comes from the database or from the way to it."""
    return any(kind.__module__.partition(".")[0] in DATABASE_PACKAGES for kind in type(error).__mro__)


def _show_traceback(error: BaseException | None) -> None:
    if error:
        lines = "".join(traceback.format_exception(error)).splitlines()
        click.echo("\n".join(safe(line) for line in lines), err=True)
