"""`dagster-clt` shows the run queue, limits and pauses code locations live, and checks an instance or Helm values.

Results go to standard output, everything else to standard error. The exit code is 0 on success, 1 for a failure or
findings, and 2 for wrong usage; 130 after Ctrl-C, and 141 where nobody reads the output any more. Each command
lives in a module of its own, which is imported only when the command is called, because importing Dagster takes a
second.
"""

import importlib
from contextlib import AbstractContextManager
from typing import Any

import click

COMMANDS = {
    "check": ("check", "Check an instance, or Helm values, for mistakes; exit code 1 if there are any."),
    "clear-limit": ("changes", "Remove the live limit of LOCATION; its configured limit applies again."),
    "drain": ("drain", "Pause LOCATION and wait until none of its runs is in progress."),
    "explain": ("explain", "Explain why a run is still queued, and what would let it start."),
    "history": ("history", "Show the latest live changes: who changed what, when and why."),
    "images": ("images", "Show the images that queued runs and runs in progress still use."),
    "metrics": ("metrics", "Serve metrics for Prometheus at /metrics."),
    "page": ("page", "Serve a page of the queue for a browser."),
    "pause": ("changes", "Stop dequeuing runs of LOCATION; runs in progress go on."),
    "prioritize": ("prioritize", "Set the priority of queued runs; higher priorities are dequeued first."),
    "probe": (
        "probe",
        "Check that this package's run coordinator can be loaded for the instance; for startup probes.",
    ),
    "reload": ("reload", "Have the webserver read its code locations anew, as Reload does in the UI."),
    "resume": ("changes", "Resume LOCATION: end its pause and close its circuit breaker."),
    "set-limit": ("changes", "Let at most LIMIT runs of LOCATION be in progress at once; 0 starts none."),
    "status": ("status", "Show each code location's runs and limit, and what it is waiting for."),
    "values": ("values", "Add to FILE, Helm values of a deployment, what this package's run coordinator needs."),
}
"""Each command's module and the first paragraph of its help, so that `dagster-clt --help` imports none of them.

The module defines the command as a function of the same name, with `_` for `-`."""


class Commands(click.Group):
    """The commands, each imported only when it is called, or its own help is shown."""

    def __init__(self, **options: Any) -> None:
        listed = {name: click.Command(name, short_help=summary) for name, (_, summary) in COMMANDS.items()}
        super().__init__(commands=listed, **options)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called, in place of what is listed of it."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name not in COMMANDS:
            return name, listed, rest
        module = importlib.import_module(f"{__name__}.{COMMANDS[name][0]}")
        return name, getattr(module, name.replace("-", "_")), rest

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse arguments that aren't text, which no database can store or look for."""
        for argument in args:
            if any("\ud800" <= letter <= "\udfff" for letter in argument):
                raise click.UsageError(f"{argument!r} isn't text in UTF-8; type it again.", ctx)
        try:
            return super().parse_args(ctx, args)
        except OSError:  # `--help` and `--version` are written here
            with _told(verbose=False):
                raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever goes wrong is told in one line."""
        with _told(verbose=ctx.params["verbose"]):
            return super().invoke(ctx)


def _told(*, verbose: bool) -> AbstractContextManager[None]:
    """`errors.told`, which `--help` needs only if it can't be written."""
    from clt_queued_run_coordinator.cli.errors import told  # noqa: PLC0415

    return told(verbose=verbose)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dagster-clt-queued-run-coordinator")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error, and what libraries log.")
def main(verbose: bool) -> None:
    """Limit, pause and watch the runs of each code location.

    Works on the instance in DAGSTER_HOME, like `dagster` itself. LOCATION is the name of a code location. Changes
    take effect at the daemon's next tick, without a restart.

    \b
    Examples:
      dagster-clt status --watch
      dagster-clt explain 478aa1eb
      dagster-clt set-limit code-location-a 5 --for 2h --reason "slow warehouse"
    """  # noqa: D301 - \b is for click
    del verbose  # `Commands.invoke` goes by it
