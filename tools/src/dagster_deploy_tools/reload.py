"""`dagster-clt reload`."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path

import click
from clt_queued_run_coordinator.operate.workspace import CHARTS_FILE, read
from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.safe import describe, safe

from dagster_deploy_tools._dagster import CodeServer, workspace_entries
from dagster_deploy_tools.replacements import Replacements
from dagster_deploy_tools.webserver import ReloadError, reload_workspace
from dagster_deploy_tools.webserver import reload as reload_in

INTERVAL_SECONDS = 1.0


@click.command("reload")
@click.option(
    "--webserver",
    metavar="URL",
    default="http://127.0.0.1:3000",
    show_default=True,
    help="The webserver's address, with its path prefix if it has one.",
)
@click.option(
    "--workspace",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=CHARTS_FILE,
    show_default=True,
    help="The webserver's workspace file, which names the code servers.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Reload each code location at first and after each replacement, and all when the workspace file changes.",
)
def reload(webserver: str, workspace: Path, watch: bool) -> None:
    """Have the webserver read its code locations anew, as Reload does in the UI.

    With --watch it keeps doing so: a few seconds after a code server was replaced the webserver reads it once
    more. In a rollout it may have read the old one, and would launch runs with the old image from then on.

    \b
    Example:
      dagster-clt reload --webserver http://127.0.0.1:3000 --watch
    """  # noqa: D301 - \b is for click
    servers = _code_servers(workspace)
    if watch:
        # Without a handler a container's first process ignores SIGTERM, and each rollout waits until it is killed.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _watch(webserver, workspace, servers)
        except KeyboardInterrupt:
            return
    failures = [failure for name in servers if (failure := _reload(webserver, name))]
    if failures:
        raise RefusalError("; ".join(str(failure) for failure in failures))


def _code_servers(file: Path) -> dict[str, CodeServer]:
    """The code servers that a workspace file names, by code location.

    Raises:
        RefusalError: The file can't be read, or Dagster can't read it.
    """
    read(file)
    try:
        entries = list(workspace_entries(file))
    except Exception as error:  # Dagster's own errors, of many kinds
        cause = safe(describe(error).partition(" Stack Trace: ")[0], 500).rstrip(".")
        raise RefusalError(
            f"{file} is no workspace that Dagster can read: {cause}; correct it, or name another file."
        ) from error
    for name, server in entries:
        if server is None:
            click.echo(
                f"{name}: skipped; Dagster starts its code server itself, and loads it with the webserver",
                err=True,
            )
    return {name: server for name, server in entries if server}


def _reload(webserver: str, code_location: str) -> ReloadError | None:
    """Reload one code location and say so, or return why it can't be."""
    try:
        reload_in(webserver, code_location)
    except ReloadError as error:
        return error
    click.echo(f"{code_location}: reloaded")
    return None


def _watch(webserver: str, workspace: Path, servers: Mapping[str, CodeServer]) -> None:
    """Reload each code location at first and after each replacement of its code server; never returns."""
    replacements, written = Replacements(), workspace.read_bytes()
    while True:
        if (now := workspace.read_bytes()) != written and (found := _reload_workspace(webserver, workspace)):
            servers, written = found, now
        for name, server in servers.items():
            server_id = server.server_id()
            if not replacements.is_due(name, server_id, time.monotonic()) or server_id is None:
                continue
            failure = _reload(webserver, name)
            if failure:
                click.echo(f"{name}: {failure}", err=True)
            if failure and not failure.for_good:
                replacements.failed(name)
            else:
                # `dagster code-server start` takes a new id when it is told to reload.
                replacements.was_read(name, server.server_id() or server_id)
        time.sleep(INTERVAL_SECONDS)


def _reload_workspace(webserver: str, workspace: Path) -> Mapping[str, CodeServer] | None:
    """Have the webserver read its workspace file anew; the file's code servers, or None to try again."""
    try:
        servers = _code_servers(workspace)
        reload_workspace(webserver)
    except (RefusalError, ReloadError) as error:
        click.echo(f"{workspace}: {error}", err=True)
        return None
    click.echo(f"{workspace}: reloaded, with {', '.join(servers) or 'no code server'}")
    return servers
