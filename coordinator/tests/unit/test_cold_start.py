"""What the commands import before they have anything to do."""

import subprocess
import sys

import click
import pytest
from clt_queued_run_coordinator.cli import COMMANDS, main


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_nothing_of_dagster_is_imported_for_the_list_of_the_commands(arguments: list[str]) -> None:
    """To import it takes a second or more."""
    code = (
        "import sys\nfrom clt_queued_run_coordinator.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'dagster', 'sqlalchemy', 'rich'}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_each_commands_own_help_begins_with(name: str) -> None:
    """It is written twice, so that the list needs no import."""
    assert isinstance(main, click.Group)
    _, command, _ = main.resolve_command(click.Context(main), [name])
    assert command
    assert command.get_short_help_str(limit=200) == COMMANDS[name][1]
