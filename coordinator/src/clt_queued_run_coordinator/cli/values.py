"""`dagster-clt values`."""

from difflib import unified_diff
from pathlib import Path

import click

from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.cli.tools import tool
from clt_queued_run_coordinator.text.formats import count


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--write", is_flag=True, help="Write the additions into FILE; without it the file stays as it is.")
@click.option(
    "--release",
    metavar="NAME",
    default="dagster",
    show_default=True,
    help="The name of the Helm release of Dagster's chart.",
)
def values(file: Path, write: bool, release: str) -> None:
    """Add to FILE, Helm values of a deployment, what this package's run coordinator needs.

    Takes over the options of Dagster's own coordinator, and adds startup probes and a container by which the
    webserver learns of new images. Shows the additions as a diff, then a line for each thing that is left to do by
    hand, in the words of `check --values`; exit code 1 if there is any. All other lines of FILE stay as they are.

    \b
    Examples:
      dagster-clt values my-values.yaml
      dagster-clt values my-values.yaml --write
    """  # noqa: D301 - \b is for click
    moved = tool("move").moved(file, release)
    before, after = (text.splitlines() for text in (moved.before, moved.after))
    echo(*unified_diff(before, after, str(file), str(file), lineterm=""))
    if moved.after == moved.before:
        echo("Nothing is missing.", err=True)
    elif write:
        tool("move").write(file, moved)
        echo(f"Wrote {file}.", err=True)
    if moved.images:
        echo(f"These images must hold the package: {', '.join(moved.images)}", err=True)
    echo(*map(str, moved.findings), err=True)
    echo(f"{count(len(moved.findings), 'finding')} left to do by hand", err=True)
    if moved.findings:
        raise SystemExit(1)
