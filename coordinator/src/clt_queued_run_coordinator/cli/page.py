"""`dagster-clt page`."""

from functools import partial
from ipaddress import ip_network

import click

from clt_queued_run_coordinator.cli.instance import get_instance, load_coordinator
from clt_queued_run_coordinator.cli.output import echo
from clt_queued_run_coordinator.cli.serving import listens_at, serving
from clt_queued_run_coordinator.page.access import Access, Network


def _network(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(value) for value in values)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write an address or a network, such as 10.0.0.0/8") from error


def _prefix(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    prefix = value.strip("/")
    if not all(part.replace("-", "").replace("_", "").isalnum() for part in prefix.split("/") if prefix):
        raise click.BadParameter(f"{value!r} is not a path; write one such as /queue")
    return f"/{prefix}" if prefix else ""


def _url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.startswith(("http://", "https://", "/")):
        raise click.BadParameter(
            f"{value!r} is no address; write https://..., or / where Dagster has the same host"
        )
    return value and value.rstrip("/")


@click.command()
@listens_at(3001)
@click.option(
    "--path-prefix", metavar="PATH", default="", callback=_prefix, help="The path to stand under, such as /queue."
)
@click.option(
    "--dagster-url",
    metavar="URL",
    callback=_url,
    help="Where Dagster's UI is, for links to its pages of runs; / where it has the same host.",
)
@click.option("--allow-changes", is_flag=True, help="Let people change limits, pauses and priorities.")
@click.option("--user-header", metavar="NAME", default="", help="The header in which the proxy tells who it is.")
@click.option(
    "--groups-header", metavar="NAME", default="", help="The header in which it tells their groups, with commas."
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    metavar="ADDRESS",
    multiple=True,
    callback=_network,
    help="The proxy's address or network, from which alone these headers count. Repeat the option for several.",
)
@click.option(
    "--platform-group",
    "platform_groups",
    metavar="GROUP",
    multiple=True,
    help="A group whose people may change everything. Others may change the code locations whose `operators` name"
    " a group of theirs. Repeat the option for several.",
)
def page(
    host: str,
    port: int,
    path_prefix: str,
    dagster_url: str | None,
    *,
    allow_changes: bool,
    user_header: str,
    groups_header: str,
    trusted_proxies: tuple[Network, ...],
    platform_groups: tuple[str, ...],
) -> None:
    """Serve a page of the queue for a browser.

    It shows each code location's queue, what holds a run, and the changes. Nothing can be changed there without
    --allow-changes. Runs until it is interrupted.

    \b
    Examples:
      dagster-clt page --dagster-url http://127.0.0.1:3000
      dagster-clt page --host 0.0.0.0 --path-prefix /queue --dagster-url / --allow-changes \\
        --user-header X-Forwarded-User --groups-header X-Forwarded-Groups --trusted-proxy 10.0.0.0/8 \\
        --platform-group data-platform
    """  # noqa: D301 - \b is for click
    if allow_changes and not (user_header and groups_header and trusted_proxies):
        raise click.UsageError(
            "--allow-changes needs --user-header, --groups-header and --trusted-proxy: a proxy tells who it is."
        )
    with serving("page", host, port):
        from clt_queued_run_coordinator.page.app import Options  # noqa: PLC0415 - needs the extra `page`
        from clt_queued_run_coordinator.page.server import serve  # noqa: PLC0415 - the same
    load_coordinator()
    access = Access(allow_changes, user_header, groups_header, trusted_proxies, frozenset(platform_groups))
    with serving("page", host, port):
        serve(get_instance, Options(path_prefix, dagster_url, access), host, port, partial(echo, err=True))
