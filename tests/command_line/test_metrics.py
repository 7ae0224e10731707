"""`dagster-clt metrics`, as a process of its own that is scraped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from dagster import DagsterRunStatus
from prometheus_client.parser import text_string_to_metric_families

from tests.command_line.conftest import Home
from tests.run_queue import A

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


def _scrape(address: str) -> dict[tuple[str, str], float]:
    response = requests.get(address, timeout=60)
    assert response.status_code == 200
    return {
        (sample.name, sample.labels.get("code_location", "")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_a_scrape_has_the_documented_gauges(home: Home) -> None:
    """The numbers of status, read anew at each scrape."""
    queue = home.queue()
    queue.queue(A, 4)
    queue.put(A, DagsterRunStatus.STARTED, 2, tag=A)
    with _served(home) as address:
        scraped = _scrape(address)
        assert scraped.pop(("dagster_clt_oldest_queued_run_age_seconds", A)) >= 0
        assert scraped == {
            ("dagster_clt_up", ""): 1,
            ("dagster_clt_max_concurrent_runs", ""): 10,
            ("dagster_clt_queued_runs", A): 4,
            ("dagster_clt_in_progress_runs", A): 2,
            ("dagster_clt_limit_runs", A): 3,
            ("dagster_clt_paused", A): 0,
        }
        home.run("pause", A)
        scraped = _scrape(address)
        assert scraped["dagster_clt_paused", A] == 1
        assert scraped["dagster_clt_limit_runs", A] == 0
