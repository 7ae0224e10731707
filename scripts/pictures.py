"""The pictures of the docs, taken of a running system under load.

`PYTHONPATH=coordinator .venv/bin/python -m scripts.pictures` takes them. With the word `page` behind it, it
takes only those of the page of the queue and of the tag `waits_for`, and with `runs` only the list of runs. It
needs Debian's packages `chromium` and `prometheus`, and what
`.venv/bin/uv pip install --requirement requirements/pictures.txt` installs. The panels of the dashboard are drawn
from the queries of `deploy/monitoring/dashboard.json`, answered by a real Prometheus; Grafana draws them more
finely. The hours before the pictures of the page are made up.
"""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from textwrap import fill
from typing import Any

import dagster as dg
from clt_queued_run_coordinator._dagster import RunsTable, run_database
from harness.launches import A, B, launch_of
from harness.process import free_port, listens, stop_on_signals
from harness.prometheus import Prometheus
from harness.system import ROOT, System, trial_config
from harness.waiting import count_ended, wait_until
from matplotlib import dates, pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text

from demo.fair import RUNS, chart_of, share
from demo.picture import write_picture

PICTURES = ROOT / "docs" / "pictures"
DASHBOARD = ROOT / "deploy" / "monitoring" / "dashboard.json"
COLUMNS = 24  # of Grafana's grid
RATE_INTERVAL = "30s"
SHORT = 8  # characters that fit in large type
TABLE_ROWS = 5  # of Grafana's grid
CHARACTERS = 10  # of small type that fit into a column of Grafana's grid
LINE = 5  # characters that a line in a legend takes


def answer_of(system: System, *arguments: str) -> str:
    """What a `dagster-clt` command prints, in colour as on a terminal 130 columns wide."""
    options = {"DAGSTER_HOME": str(system.home), "FORCE_COLOR": "1", "COLUMNS": "130", "LOGNAME": "ann"}
    command = [sys.executable, "-m", "clt_queued_run_coordinator.cli", *arguments]
    done = subprocess.run(command, env={**os.environ, **options}, capture_output=True, text=True, check=True)
    # A picture doesn't name the machine that it was taken on.
    return done.stdout.replace(f"ann@{socket.gethostname()}", "ann@laptop")


def screenshot(url: str, file: Path, width: int, height: int, wait_ms: int = 15000) -> None:
    """A page as Chromium shows it."""
    subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--window-size={width},{height}", f"--virtual-time-budget={wait_ms}", f"--screenshot={file}", url,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip


def pictures_of_page(console: Console, folder: Path) -> None:
    """The page of the queue under load: light, dark and on a phone; then Dagster's own list of runs."""
    console.print("Filling a queue for its page (four minutes).")
    limits = {
        "default": 3,
        "locations": {A: {"limit": 3, "max_per_job": 2}, "reports": 2, "search": {"limit": 8, "weight": 2}},
        "groups": {"shop": {"locations": [A, B], "limit": 5, "min": 1}},
        "sharing": "fair",
    }
    port = free_port()
    with System(folder / "page", trial_config(max_concurrent_runs=6, code_location_limits=limits)) as system:
        first = system.graphql.launch_several([launch_of(name, 1) for name in (A, B)])
        wait_for_ended(system, first, 2)
        make_up_hours(system, first)
        closed = ("--until", "2030-01-01T18:00Z", "--reason", "the ledger is closed", "--by", "ann")
        answer_of(system, "pause", "reports", *closed)
        answer_of(system, "set-limit", B, "1", "--for", "2h", "--reason", "the warehouse is slow", "--by", "ann")
        of_a = system.graphql.launch_several([launch_of(A, 25)] * 30)
        of_b = system.graphql.launch_several([launch_of(B, 40)] * 9)
        system.graphql.launch_several([launch_of(A, 25)] * 2)
        answer_of(system, "prioritize", of_b[4][:8], "10", "--reason", "the auditors wait", "--by", "bob")
        wait_for_ended(system, of_a, 5)
        page = system.process(
            "page", "clt_queued_run_coordinator.cli", "page", "--port", str(port), "--dagster-url", system.url
        )
        page.start()
        try:
            wait_until("the page is there", lambda: listens(port))
            photograph(f"http://127.0.0.1:{port}/", f"location?name={B}")
        finally:
            page.stop()
        today = datetime.now(timezone.utc).date()
        answer_of(system, "pause", B, "--until", f"{today}T23:59Z", "--reason", "its release", "--by", "ann")
        with system.instance() as instance:
            newest = dg.RunsFilter(run_ids=[of_b[-1]], tags={"waits_for": "paused until 23:59 UTC"})
            wait_until("its tag says that it is paused", lambda: instance.get_runs(newest))
        photograph_queue_in_dagster(system.url)


def make_up_hours(system: System, run_ids: Sequence[str]) -> None:
    """Store copies of some runs as if they had waited and run in the last hours, for the charts."""
    chance, now = random.Random(7), time.time()  # noqa: S311 - the same charts each time
    with system.instance() as instance:
        for run in [run for run in instance.get_runs(dg.RunsFilter(run_ids=run_ids)) for _ in range(300)]:
            created = now - 2400 - 19_000 * chance.betavariate(2, 2)
            begun = created + chance.uniform(30, 1500)
            ended = begun + chance.uniform(20, 60)
            copy = run._replace(run_id=str(uuid.uuid4()))
            instance.run_storage.add_run(copy)
            times = {"create_timestamp": in_utc(created), "update_timestamp": in_utc(ended)}
            with run_database(instance).connect() as connection:
                connection.execute(
                    RunsTable.update()
                    .where(RunsTable.c.run_id == copy.run_id)
                    .values(start_time=begun, end_time=ended, **times)
                )


def in_utc(moment: float) -> datetime:
    """A time as SQLite stores it."""
    return datetime.fromtimestamp(moment, timezone.utc).replace(tzinfo=None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def picture_of_runs(console: Console, folder: Path) -> None:
    """Dagster's list of runs as docs/get-started.md tells: a backfill of orders, and invoices beside it."""
    console.print("Launching a backfill of orders (a minute).")
    with System(folder / "runs", trial_config(), {"NEW_ORDERS": "on"}) as system:
        system.graphql.ask(
            """
            mutation ($parameters: LaunchBackfillParams!) {
              launchPartitionBackfill(backfillParams: $parameters) { __typename ... on Error { message } }
            }
            """,
            parameters={
                "assetSelection": [{"path": ["orders"]}],
                "partitionNames": [f"2026-01-{day:02}" for day in range(1, 13)],
            },
        )
        invoices = dg.RunsFilter(job_name="invoices_job", statuses=[dg.DagsterRunStatus.STARTED])
        with system.instance() as instance:
            wait_until(
                "invoices are made beside the orders",
                lambda: instance.get_runs_count(invoices),
                seconds=600,
                every=0.2,
            )
        screenshot(f"{system.url}/runs?view=RUNS", PICTURES / "runs.png", 1500, 900)


def photograph(address: str, code_location: str) -> None:
    """Take the pictures of the page at an address."""
    with chromium() as browser:
        for name, path, scheme, width in (
            ("queue-page", "", "light", 1200),
            ("queue-page-dark", code_location, "dark", 1200),
            ("queue-page-phone", "", "light", 390),
        ):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 400})
            page.goto(address + path)
            page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
            page.close()


def photograph_queue_in_dagster(address: str) -> None:
    """Take the picture of Dagster's own list of queued runs, whose tags say what each of them waits for."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1700, "height": 840})
        page.goto(f"{address}/runs?q[]=status:QUEUED")
        page.get_by_text("waits_for").first.wait_for(timeout=120_000)
        page.screenshot(path=PICTURES / "waits-for.png")


def picture_of_terminal(command: str, output: str, file: Path, folder: Path) -> None:
    """A picture of what a command prints."""
    lines = [f"$ {command}", *output.rstrip().splitlines()]
    width = max(len(Text.from_ansi(line).plain) for line in lines)
    console = Console(record=True, width=width, file=(folder / "terminal.txt").open("w"), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, crop=False)
    style = "font-family:'DejaVu Sans Mono',monospace;font-size:14px;line-height:1.35;margin:0"
    text = console.export_html(inline_styles=True, code_format=f'<pre style="{style}">{{code}}</pre>')
    page = folder / "terminal.html"
    page.write_text(f"<html><body style='margin:0;padding:18px 22px;background:#fff'>{text}</body></html>")
    screenshot(page.as_uri(), file, 44 + round(width * 8.43) + 8, 36 + 19 * len(lines) + 8, 1000)


def draw_dashboard(prometheus: Prometheus, start: float, end: float, file: Path) -> None:
    """Draw the dashboard's panels where its grid has them."""
    panels = _without_empty_rows(json.loads(DASHBOARD.read_text())["panels"])
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure: Figure = pyplot.figure(figsize=(16, rows * 0.36))
    for panel in panels:
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        left = (x + 0.8) / COLUMNS
        if panel["type"] == "row":
            figure.text(left, 1 - (y + 0.75) / rows, panel["title"], fontsize=12, fontweight="bold", color="#444")
            continue
        axes = figure.add_axes(
            (left, 1 - (y + height - 0.9) / rows, (width - 1.2) / COLUMNS, (height - 2.0) / rows)
        )
        axes.set_title(panel["title"], loc="left", fontsize=9, fontweight="bold")
        axes.tick_params(labelsize=7)
        targets = {
            target["expr"]: prometheus.query_range(_filled_in(target["expr"]), start, end)
            for target in panel["targets"]
        }
        series = [
            (_legend(target.get("legendFormat", ""), each["metric"]), each["values"])
            for target in panel["targets"]
            for each in targets[target["expr"]]
        ]
        if panel["type"] == "table":
            _draw_table(axes, targets)
        elif panel["type"] == "stat":
            _draw_number(axes, series)
        else:
            _draw_series(axes, series, width)
    figure.savefig(file, dpi=75, facecolor="white")


def _without_empty_rows(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The panels with each table as high as two code locations need, and what is below it moved up."""
    for table in [panel["gridPos"] for panel in panels if panel["type"] == "table"]:
        saved = max(0, table["h"] - TABLE_ROWS)
        table["h"] -= saved
        for panel in panels:
            if panel["gridPos"]["y"] > table["y"]:
                panel["gridPos"]["y"] -= saved
    return panels


def _draw_table(axes: Axes, targets: Mapping[str, list[dict[str, Any]]]) -> None:
    """The last values, a column for each query and a line for each code location."""
    axes.axis("off")
    names = sorted({each["metric"]["code_location"] for found in targets.values() for each in found})
    columns = ["code location"]
    cells = [[name] for name in names]
    for expression, found in targets.items():
        metric = re.search(r"dagster_clt_(\w+)", expression)
        columns.append(metric[1].removesuffix("_seconds").replace("_", " ") if metric else expression)
        last = {each["metric"]["code_location"]: f"{float(each['values'][-1][1]):g}" for each in found}
        for name, line in zip(names, cells, strict=True):
            line.append(last.get(name, ""))
    cells.insert(0, [fill(column, 12) for column in columns])
    table = axes.table(cells, cellLoc="left", edges="horizontal", bbox=[0, 0, 1, 1])
    for (line, _), cell in table.get_celld().items():
        cell.set_height(2 if line == 0 else 1)
    table.auto_set_font_size(False)
    table.set_fontsize(8)


def _draw_number(axes: Axes, series: list[tuple[str, list[list[Any]]]]) -> None:
    axes.axis("off")
    text = "-"
    if series:
        legend, values = series[0]
        text = legend or f"{float(values[-1][1]):.4g}"
    axes.text(0, 0.3, text, ha="left", va="center", fontsize=20 if len(text) <= SHORT else 9)


def _draw_series(axes: Axes, series: list[tuple[str, list[list[Any]]]], width: int) -> None:
    for legend, values in series:
        times = [datetime.fromtimestamp(at) for at, _ in values]
        axes.plot(times, [float(value) for _, value in values], label=legend or None, linewidth=1.4)
    axes.grid(visible=True, alpha=0.25)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=6))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if any(legend for legend, _ in series):
        # Beside the title where both fit, else inside.
        written = len(axes.get_title(loc="left")) + sum(len(legend) + LINE for legend, _ in series)
        if written < width * CHARACTERS:
            axes.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1.0, 0.99), frameon=False, ncols=3)
        else:
            axes.legend(fontsize=7, loc="center right", frameon=False)


def _filled_in(expression: str) -> str:
    """A query with Grafana's variables filled in."""
    filled = re.sub(
        r"\$(__rate_interval|__interval|__range)|\$\{(__rate_interval|__range)\}", RATE_INTERVAL, expression
    )
    return re.sub(r"\$\{?\w+(:\w+)?\}?", ".*", filled)


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), form)


@contextmanager
def watched_system(folder: Path) -> Iterator[tuple[System, Prometheus]]:
    """A system with fair sharing, its exporter, and a Prometheus that scrapes it."""
    config = trial_config(
        max_concurrent_runs=4,
        code_location_limits={"default": 3, "locations": {B: {"limit": 3, "weight": 2}}, "sharing": "fair"},
    )
    port = free_port()
    with System(folder / "home", config) as system:
        exporter = system.process("exporter", "clt_queued_run_coordinator.cli", "metrics", "--port", str(port))
        exporter.start()
        data = folder / "prometheus"
        data.mkdir()
        try:
            with Prometheus(data, port) as prometheus:
                yield system, prometheus
        finally:
            exporter.stop()


def wait_for_ended(system: System, run_ids: Sequence[str], number: int) -> None:
    """Wait until so many of some runs have ended."""
    with system.instance() as instance:
        wait_until(
            f"{number} of {len(run_ids)} runs have ended",
            lambda: count_ended(instance, run_ids) >= number,
            seconds=1800,
            every=0.5,
        )


def main() -> int:
    """Take the pictures; returns the exit code."""
    parser = ArgumentParser(prog="python -m scripts.pictures", description=__doc__)
    parser.add_argument("only", nargs="?", choices=["page", "runs"], help="take only the pictures of this")
    only = parser.parse_args().only
    console = Console()
    stop_on_signals()
    for program in ("chromium", *(() if only else ("prometheus",))):
        if not shutil.which(program):
            console.print(f"{program} is not installed; install Debian's package {program}.")
            return 1
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dagster-pictures-") as name:
        if only != "page":
            picture_of_runs(console, Path(name))
        if only != "runs":
            pictures_of_page(console, Path(name))
    if only:
        return 0
    console.print("Comparing fifo and fair (two minutes).")
    results = [share(sharing, RUNS, 4, console) for sharing in ("fifo", "fair")]
    write_picture(chart_of(results), PICTURES / "fair.png")
    console.print("Starting the system, the exporter and Prometheus ...")
    with (
        tempfile.TemporaryDirectory(prefix="dagster-pictures-") as name,
        watched_system(folder := Path(name)) as (system, prometheus),
    ):
        console.print(f"Flooding the queue with runs of {A}, then of {B} (three minutes).")
        start = time.time()
        of_a = system.graphql.launch_several([launch_of(A, 4)] * 40)
        wait_for_ended(system, of_a, 10)
        of_b = system.graphql.launch_several([launch_of(B, 4)] * 20)
        wait_for_ended(system, of_b, 3)
        picture_of_terminal("dagster-clt status", answer_of(system, "status"), PICTURES / "status.png", folder)
        wait_for_ended(system, of_b, 9)
        answer_of(system, "pause", A, "--for", "30s", "--reason", "deploy of the shop")
        picture_of_terminal("dagster-clt status", answer_of(system, "status"), PICTURES / "paused.png", folder)
        wait_for_ended(system, of_b, 20)
        wait_for_ended(system, of_a, 34)
        draw_dashboard(prometheus, start - 5, time.time(), PICTURES / "dashboard.png")
    console.print(f"The pictures are in {PICTURES.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
