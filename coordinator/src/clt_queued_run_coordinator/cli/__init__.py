"""`dagster-clt` shows the run queue, limits and pauses code locations live, and checks an instance or Helm values.

Results go to standard output, everything else to standard error. The exit code is 0 on success, 1 for a failure or
findings, and 2 for wrong usage; 130 after Ctrl-C, and 141 where nobody reads the output any more. Each command
lives in a module of its own, which is imported only when the command is called, because importing Dagster takes a
second.
"""

import importlib
from typing import Any

import click
from click.shell_completion import CompletionItem

COMMANDS = {
    "check": ("check", "Check an instance, or Helm values, for mistakes; exit code 1 if there are any."),
    "clear-limit": ("limit", "Remove the live limit of LOCATION; its configured limit applies again."),
    "drain": ("drain", "Pause LOCATION and wait until none of its runs is in progress."),
    "explain": ("explain", "Explain why a run is still queued, and what would let it start."),
    "history": ("history", "Show the latest live changes: who changed what, when and why."),
    "metrics": ("metrics", "Serve metrics for Prometheus at /metrics."),
    "pause": ("pause", "Stop dequeuing runs of LOCATION; runs in progress go on."),
    "prioritize": ("prioritize", "Set the priority of queued runs; higher priorities are dequeued first."),
    "probe": (
        "probe",
        "Check that this package's run coordinator can be loaded for the instance; for startup probes.",
    ),
    "reload": ("reload", "Have the webserver read its code locations anew, as Reload does in the UI."),
    "resume": ("pause", "Resume LOCATION: end its pause and close its circuit breaker."),
    "set-limit": ("limit", "Let at most LIMIT runs of LOCATION be in progress at once; 0 starts none."),
    "status": ("status", "Show each code location's runs and limit, and what it is waiting for."),
}
"""Each command's module and the first paragraph of its help, so that `dagster-clt --help` imports none of them.

The module defines the command as a function of the same name, with `_` for `-`."""


class Commands(click.Group):
    """The commands, each imported only when it is called or its own help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in alphabetical order."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None if there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 - see COMMANDS
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments of the command line.

        Raises:
            click.UsageError: One of them isn't text, so no database can store it or look for it.
        """
        broken = next(
            (argument for argument in args if any("\ud800" <= letter <= "\udfff" for letter in argument)), ""
        )
        if broken:
            raise click.UsageError(f"{broken!r} isn't text in UTF-8; type it again.", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever goes wrong is told in one line."""
        from clt_queued_run_coordinator.cli.errors import told  # noqa: PLC0415 - `--help` doesn't need it

        with told(verbose=ctx.params["verbose"]):
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; click would import each one for its description."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(COMMANDS.items())])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options that start like this; click would import every command for its description."""
        names = [CompletionItem(name) for name in sorted(COMMANDS) if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


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
