"""What `dagster-clt page` costs: how long its pages take, and how much CPU 20 viewers take beside one.

`cores` are those of the page's process, without what its statements take of PostgreSQL.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import requests
from clt_queued_run_coordinator.daemon.queued_runs import QueuedRuns
from clt_queued_run_coordinator.operate import last_hours
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.store.transaction import reading

from benchmarks.filled_queue import FilledQueue, Slots, fill
from benchmarks.instances import postgresql_storage, write_home
from benchmarks.measure import NOTHING, Bench, Goal, Row
from benchmarks.usage import used

VIEWERS = 20
RENEWED = 5.0
"""How often the script of a page renews it, in seconds."""


def run(bench: Bench) -> Iterator[Row]:
    """The first page, the one of a code location, and what the charts read."""
    finished = 10_000 if bench.quick else 1_000_000
    queued, code_locations = min(50_000, bench.at_most), 200
    filled = fill(bench, queued, code_locations, Slots.FULL, finished=finished)
    what = f"{finished:,} finished, {queued:,} queued, {code_locations} code locations"
    yield from measured(bench, filled, what)


def measured(bench: Bench, filled: FilledQueue, what: str) -> Iterator[Row]:
    """The rows of a filled queue."""
    home = write_home(bench.folder / "page", "clt", postgresql_storage(filled.url), filled.config("fair"))
    process = subprocess.Popen(
        [sys.executable, "-m", "clt_queued_run_coordinator.cli", "page", "--port", "0"],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        address = next(line.split()[1] for line in process.stderr if line.startswith("Serving "))
        begin = time.perf_counter()
        while requests.get(address, timeout=600).status_code != 200:
            time.sleep(0.1)
        first = time.perf_counter() - begin
        yield Row("page", f"{what}, the first picture after a start", "s", [first], [], NOTHING, Goal(most=5.0))
        pages = {"all code locations": "", "a code location": f"location?name={filled.code_locations[0]}"}
        seconds = bench.interleave(what, 20, {name: _timed(address + page) for name, page in pages.items()})
        for name in pages:
            yield Row("page", f"{what}, {name}", "s", seconds[name], [], NOTHING, Goal(most=0.3))
        yield Row("page", f"{what}, the charts", "s", _charts(bench, filled), [], NOTHING, Goal(most=1.0))
        cores = {viewers: _cores(process.pid, address, viewers) for viewers in (1, VIEWERS)}
        yield Row(
            "page", f"{what}, {VIEWERS} viewers", "cores", [cores[VIEWERS]], [cores[1]], "one", Goal(more=0.1)
        )
        megabytes = used({"page": process.pid}, lambda: None)["page"].megabytes
        yield Row("page", f"{what}, memory", "MB", [megabytes], [], NOTHING)
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def _timed(address: str) -> Callable[[], float]:
    def measure() -> float:
        time.sleep(1.1)  # so that there is something new to read
        begin = time.perf_counter()
        assert requests.get(address, timeout=60).status_code == 200
        return time.perf_counter() - begin

    return measure


def _charts(bench: Bench, filled: FilledQueue) -> list[float]:
    queue, seconds = filled.open(bench, "clt", filled.config("fair")), []
    with reading(queue.instance) as connection:
        now, order = live.read(connection).read_at, QueuedRuns()
        order.refresh(connection, now)
        for _ in range(3):
            begin = time.perf_counter()
            assert last_hours.read(connection, now, order.code_locations()).waiting
            seconds.append(time.perf_counter() - begin)
    queue.instance.dispose()
    return seconds


def _cores(pid: int, address: str, viewers: int, seconds: float = 60.0) -> float:
    """The cores that the page takes while some look at it, each renewing it as its script does."""
    end = time.monotonic() + seconds

    def look(number: int) -> None:
        time.sleep(RENEWED * number / viewers)
        while time.monotonic() < end:
            begin = time.monotonic()
            assert requests.get(address, timeout=60).status_code == 200
            time.sleep(max(0.0, RENEWED - (time.monotonic() - begin)))

    def all_look() -> None:
        with ThreadPoolExecutor(viewers) as pool:
            list(pool.map(look, range(viewers)))

    return used({"page": pid}, all_look)["page"].cpu_seconds / seconds
