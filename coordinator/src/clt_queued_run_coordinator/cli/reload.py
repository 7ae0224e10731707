"""`dagster-clt reload`."""

import click

from clt_queued_run_coordinator.cli.tools import tool


@click.command("reload", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def reload(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Have the webserver read its code locations anew, as Reload does in the UI."""
    tool("reload").reload.main([*arguments], prog_name=ctx.command_path, standalone_mode=False)
