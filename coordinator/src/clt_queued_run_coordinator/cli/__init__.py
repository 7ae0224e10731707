"""`dagster-clt`: looks at the queue, limits and pauses code locations live, checks an instance or Helm values.

Answers go to standard output, everything else to standard error. Exit codes: 0; 1 for findings or a refusal; 2 for
wrong usage. Each command is a module of its own, loaded when it is called: to import Dagster takes a second.
"""

import importlib

import click
from click.shell_completion import CompletionItem

COMMANDS = {
    "check": "check",
    "clear-limit": "limit",
    "drain": "drain",
    "explain": "explain",
    "history": "history",
    "metrics": "metrics",
    "pause": "pause",
    "prioritize": "prioritize",
    "probe": "probe",
    "resume": "pause",
    "set-limit": "limit",
    "status": "status",
}
"""Each command, and the module that has it as a function of the same name, with `_` for `-`."""


class Commands(click.Group):
    """The commands, each imported when it is called or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name; None where there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 - see COMMANDS
        return command

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
