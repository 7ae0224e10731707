"""`dagster-clt`: looks at the queue, limits and pauses code locations live, checks an instance or Helm values.

Answers go to standard output, everything else to standard error. Exit codes: 0; 1 for findings or a refusal; 2 for
wrong usage. Each command is a module of its own, loaded when it is called: to import Dagster takes a second.
"""

import importlib

import click
from click.shell_completion import CompletionItem

COMMANDS = {
    "check": (
        "check",
        "Look for what is wrong with an instance, or with Helm values: a line for each finding, exit code 1.",
    ),
    "clear-limit": ("limit", "Go back to the configured limit of LOCATION."),
    "drain": (
        "drain",
        "Pause LOCATION and wait until nothing of it is in progress; exit code 1 if it takes longer than the"
        " timeout.",
    ),
    "explain": ("explain", "Say why a run is queued: its place, what holds it now, and what would let it go."),
    "history": (
        "history",
        "Show the last live changes, of LOCATION or of all: who, when, what, until when and why; newest first.",
    ),
    "metrics": ("metrics", "Serve the numbers of the queue for Prometheus at /metrics."),
    "pause": ("pause", "Start nothing of LOCATION from the next tick on; runs in progress are left alone."),
    "prioritize": (
        "prioritize",
        "Give queued runs the priority N: the larger goes first, from the next tick on; 0 is that of a run"
        " without.",
    ),
    "probe": (
        "probe",
        "Load the instance's run coordinator as daemon, webserver and runs do; for startup probes.",
    ),
    "resume": (
        "pause",
        "End the pause of LOCATION and close its circuit breaker; the limit from before holds again.",
    ),
    "set-limit": (
        "limit",
        "Let at most LIMIT runs of LOCATION be in progress, from the next tick on; 0 holds it.",
    ),
    "status": (
        "status",
        "Show each code location: runs, limit and where it comes from, share, and what it waits for.",
    ),
}
"""Each command: the module that has it as a function of the same name, with `_` for `-`, and what its help begins
with, so that the list of them needs no import."""


class Commands(click.Group):
    """The commands, each imported when it is called or its own help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name; None where there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 - see COMMANDS
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands; click would import each for its description."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in sorted(COMMANDS.items())])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and options that begin so; click would import every command for its description."""
        names = [CompletionItem(name) for name in sorted(COMMANDS) if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dagster-clt-queued-run-coordinator")
def main() -> None:
    """Limit, pause and watch the runs of each code location.

    The instance is found as `dagster` finds it, through DAGSTER_HOME.
    """
