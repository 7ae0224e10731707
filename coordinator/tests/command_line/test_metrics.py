"""`dagster-clt metrics`, as a process of its own that is scraped."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster
import pytest
import requests
from clt_queued_run_coordinator.daemon import state as daemon_state
from clt_queued_run_coordinator.metrics import scrape
from clt_queued_run_coordinator.metrics.families import PAUSE_REASONS
from clt_queued_run_coordinator.metrics.scrape import Scrape
from clt_queued_run_coordinator.metrics.server import PACKAGE, QueueCollector, SharedReading
from clt_queued_run_coordinator.operate import now
from clt_queued_run_coordinator.operate.status import Status
from clt_queued_run_coordinator.policy.changes import Kind
from clt_queued_run_coordinator.policy.totals import Totals
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus, RunsFilter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.command_line.conftest import CONFIG, Home
from tests.run_queue import A, B, RunQueue

LIMITS: Any = CONFIG["code_location_limits"]
on_sqlite = pytest.mark.parametrize("home", ["sqlite"], indirect=True)
"""For what doesn't depend on the storage."""
PROGRAM = Path(sys.executable).with_name("dagster-clt")


@contextmanager
def _served(home: Home) -> Iterator[str]:
    """The address that a real `dagster-clt metrics` tells."""
    process = subprocess.Popen(
        [PROGRAM, "metrics", "--port", "0"],
        env={**os.environ, "DAGSTER_HOME": str(home.folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        for line in process.stderr:
            if line.startswith("Serving "):
                yield line.split()[1]
                break
        else:
            raise AssertionError("it ended without serving")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        process.stderr.close()


def _text(address: str) -> str:
    response = requests.get(address, timeout=60)
    assert response.status_code == 200
    return response.text


def _exposed(queue: RunQueue) -> str:
    """What would be served of a queue, without a server."""
    registry = CollectorRegistry()
    state = now.read(queue.instance, queue.coordinator.settings)
    registry.register(QueueCollector(lambda: scrape.read(queue.instance, state), print))
    return generate_latest(registry).decode()


def _samples(text: str) -> dict[str, float]:
    """Each sample's value, by its name and the values of its labels."""
    return {
        " ".join((sample.name.removeprefix("dagster_clt_"), *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_has_the_numbers_of_the_queue(home: Home) -> None:
    """Read anew at each scrape; before the daemon's first tick there is nothing that it would tell."""
    home.configure(
        {**CONFIG, "code_location_limits": {**LIMITS, "locations": {A: {"limit": 3, "max_queued": 50}}}}
    )
    queue = home.queue()
    queue.queue(A, 4)
    queue.put(A, DagsterRunStatus.STARTED, 2, tag=A)
    with _served(home) as address:
        scraped = _samples(_text(address))
        (build,) = [name for name in scraped if name.startswith("build_info ")]
        assert build == f"build_info {dagster.__version__} {platform.python_version()} {version(PACKAGE)}"
        assert scraped.pop(f"oldest_queued_run_age_seconds {A}") >= 0
        assert scraped.pop(f"credit_slot_seconds {A}") >= 0
        assert {name: value for name, value in scraped.items() if "queue_wait" not in name} == {
            "up": 1,
            build: 1,
            "scrape_errors_total": 0,
            "max_concurrent_runs": 10,
            "limits_shadowed": 0,
            f"queued_runs {A}": 4,
            f"in_progress_runs {A}": 2,
            f"limit_runs {A}": 3,
            f"max_queued_runs {A}": 50,
            f"weight {A}": 1,
            f"min_slots {A}": 0,
            f"share_slots {A}": 3,
            f"paused {A} pause": 0,
            f"paused {A} breaker": 0,
            f"paused {A} limit_zero": 0,
            f"refusals_total {A}": 0,
            f"starts_total {A}": 0,
            f"ends_total {A} success": 0,
            f"ends_total {A} failure": 0,
            f"ends_total {A} canceled": 0,
        }
        assert {value for name, value in scraped.items() if "queue_wait" in name} == {0}


@on_sqlite
def test_groups_have_numbers_of_their_own(home: Home) -> None:
    """Under a label of their own, so that a sum over code locations stays what it is."""
    group = {"locations": [A, B], "weight": 2, "min": 1, "limit": 4}
    home.configure({"code_location_limits": {"default": 5, "sharing": "fair", "groups": {"team": group}}})
    queue = home.queue()
    queue.queue(A, 4)
    queue.put(B, DagsterRunStatus.STARTED, 2, tag=B)
    scraped = _samples(_exposed(queue))
    assert scraped.pop("group_credit_slot_seconds team") >= 0
    assert {name: value for name, value in scraped.items() if name.startswith("group_")} == {
        "group_queued_runs team": 4,
        "group_in_progress_runs team": 2,
        "group_limit_runs team": 4,
        "group_weight team": 2,
        "group_min_slots team": 1,
        "group_share_slots team": 4,
    }


@on_sqlite
def test_slots_have_numbers_where_they_count(home: Home) -> None:
    """And the limit is one of slots, not of runs."""
    home.configure({"code_location_limits": {"slot": {"cpu": 1}, "default": 9}})
    queue = home.queue()
    queue.queue(A, 3, tags={"slots": "4"})
    assert queue.tick() == {A: 2}
    scraped = _samples(_exposed(queue))
    of_slots = {f"queued_slots {A}": 4, f"in_progress_slots {A}": 8, f"limit_slots {A}": 9}
    assert scraped.items() >= {**of_slots, f"queued_runs {A}": 1, f"in_progress_runs {A}": 2}.items()
    assert f"limit_runs {A}" not in scraped


@on_sqlite
def test_why_nothing_starts_is_a_label(home: Home) -> None:
    """What ends goes to 0, and is no series that stops."""
    queue = home.queue()
    for commands, found in {
        ("pause", A): [1, 0, 0],
        ("resume", A): [0, 0, 0],
        ("set-limit", A, "0"): [0, 0, 1],
        ("clear-limit", A): [0, 0, 0],
        (): [0, 1, 0],
    }.items():
        if commands:
            home.run(*commands)
        else:
            live.write(queue.instance, Kind.BREAKER, A, True, reason="3 runs in a row failed")
        scraped = _samples(_exposed(queue))
        assert [scraped[f"paused {A} {reason}"] for reason in PAUSE_REASONS] == found
        assert scraped[f"limit_runs {A}"] == (0 if any(found) else 3)


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)
def test_counters_go_on_where_the_daemon_and_the_exporter_are_restarted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie in the instance's database, as of a few seconds ago; and nothing is counted twice."""
    monkeypatch.setattr(daemon_state, "STORE_INTERVAL_SECONDS", 0)
    expected: dict[str, float] = {}
    for restart in range(2):
        queue = home.queue()
        queue.queue(A, 2)
        assert queue.tick() == {A: 2}
        queue.end(A)
        queue.tick()
        fails = queue.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTING]))[0]
        queue.instance.report_run_failed(fails)
        queue.tick()
        with _served(home) as address:
            scraped = _samples(_text(address))
        starts = 2 * (restart + 1)
        expected = {
            f"starts_total {A}": starts,
            f"ends_total {A} success": 0,
            f"ends_total {A} failure": restart + 1,
            f"ends_total {A} canceled": restart + 1,
            f"queue_wait_seconds_count {A}": starts,
            f"queue_wait_seconds_bucket {A} +Inf": starts,
            f"queue_wait_seconds_bucket {A} 86400.0": starts,
        }
        assert {name: scraped[name] for name in expected} == expected
        assert 0 <= scraped["seconds_since_last_tick"] < time.time() - scraped["last_tick_timestamp_seconds"] + 1
        assert scraped["reading_duration_seconds"] > 0
        assert scraped["narrowed_reading"] == 1


@on_sqlite
def test_limits_that_are_shadowed_are_seen(home: Home) -> None:
    """An instance without limits of ours, which would be refused, but with live ones."""
    home.configure({}, concurrency={"runs": {"tag_concurrency_limits": []}})
    assert _samples(_exposed(home.queue()))["limits_shadowed"] == 1


@pytest.mark.parametrize("error", [ConnectionError("no database\nat all"), KeyError(), SystemExit(3)])
def test_a_scrape_that_fails_is_counted(error: BaseException) -> None:
    """It is answered all the same, so that Prometheus can tell it from a server that is gone."""

    def fails() -> Scrape:
        raise error

    told: list[str] = []
    registry = CollectorRegistry()
    registry.register(QueueCollector(SharedReading(fails), told.append))
    for errors in (1, 2):
        lines = generate_latest(registry).decode().splitlines()
        assert "dagster_clt_up 0.0" in lines
        assert f"dagster_clt_scrape_errors_total {errors}.0" in lines
        assert any(line.startswith("dagster_clt_build_info{") for line in lines)
    assert len(told) == 2
    assert all(line.isprintable() for line in told)


@on_sqlite
def test_scrapes_of_a_database_that_swallows_packets_are_answered_by_one_reading(home: Home) -> None:
    """None waits for it, no threads pile up, and once it answers the scrapes do too."""
    queue = home.queue()
    queue.queue(A, 1)
    state = now.read(queue.instance, queue.coordinator.settings)
    begun: list[int] = []
    answers = threading.Event()

    def hangs() -> Scrape:
        begun.append(1)
        assert answers.wait(60)
        return scrape.read(queue.instance, state)

    reading = SharedReading(hangs, seconds=0.05)
    registry = CollectorRegistry()
    registry.register(QueueCollector(reading, print))
    with ThreadPoolExecutor(8) as scrapers:
        texts = scrapers.map(lambda _: generate_latest(registry).decode(), range(16))
    assert all("dagster_clt_up 0.0" in text for text in texts)
    assert len(begun) == 1
    answers.set()
    patient = SharedReading(hangs, seconds=60)
    assert patient().status.queued == 1


def test_the_exporter_comes_before_its_database_and_does_not_wait_for_it(tmp_path: Path) -> None:
    """Prometheus waits 10 s by default; without a deadline of its own the exporter would take longer."""
    url = "postgresql://dagster@127.0.0.1:1/nothing"
    with ExitStack() as stack:
        home = Home(tmp_path, {"storage": {"postgres": {"postgres_url": url}}}, stack)
        with _served(home) as address:
            began = time.monotonic()
            assert _samples(_text(address))["up"] == 0
            assert time.monotonic() - began < 9


def test_no_name_ends_a_scrape() -> None:
    """Half a character, which UTF-8 hasn't, would end every scrape."""
    status = Status(1, "fair", 0, 0, 0, [])
    read = Scrape(datetime.now(timezone.utc), status, totals={"half \udc80\x1b": Totals()})
    registry = CollectorRegistry()
    registry.register(QueueCollector(lambda: read, print))
    scraped = _samples(generate_latest(registry).decode())
    assert scraped["up"] == 1
    assert scraped["starts_total half \\udc80\\x1b"] == 0


@on_sqlite
def test_promtool_finds_nothing_wrong_with_the_names(home: Home, promtool: str) -> None:
    """Neither with names of code locations that have to be escaped."""
    queue = home.queue()
    for name in (A, 'q"uotes\\ and\nlines', "%/ü  "):
        queue.queue(name)
    queue.tick()
    queue.tick()
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=_exposed(queue),
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)
