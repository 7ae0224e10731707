"""A queue that the oldest supported Dagster filled goes on under this one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.store import live
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from tests.migration.write_queue import contents
from tests.postgresql import PostgreSQL
from tests.run_queue import MODULE, A, B, RunQueue

OLDEST_PYTHON = os.environ.get("DAGSTER_OLDEST_PYTHON")
ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not OLDEST_PYTHON, reason="DAGSTER_OLDEST_PYTHON names no Python with the oldest Dagster; nox -s migration"
    ),
]


def _run(python: str, *arguments: str, home: Path) -> str:
    """Run a program of an environment on the instance; returns what it prints."""
    return subprocess.run(
        [python, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT)},
    ).stdout


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The DAGSTER_HOME of an instance whose database has no tables yet."""
    storage: dict[str, Any] = {"sqlite": {"base_dir": str(tmp_path / "storage")}}
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        server.execute("CREATE DATABASE migrated")
        storage = {"postgres": {"postgres_url": server.url("migrated")}}
    config = {
        "storage": storage,
        "run_coordinator": {
            "module": MODULE,
            "class": "CLTQueuedRunCoordinator",
            "config": {"max_concurrent_runs": 10, "code_location_limits": {"default": 2}},
        },
        "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
        "telemetry": {"enabled": False},
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.fixture
def written(home: Path) -> dict[str, Any]:
    """What the oldest Dagster wrote, after which this one's `dagster instance migrate` ran."""
    written: dict[str, Any] = json.loads(
        _run(str(OLDEST_PYTHON), "-m", "tests.migration.write_queue", str(home), home=home)
    )
    _run(sys.executable, "-m", "dagster", "instance", "migrate", home=home)
    return written


@pytest.fixture
def queue(home: Path, written: dict[str, Any]) -> Iterator[RunQueue]:
    """The migrated queue in this Dagster's hands."""
    assert written["version"].startswith("1.10.")
    with DagsterInstance.from_config(str(home)) as instance:
        yield RunQueue(instance)


def _runs(queue: RunQueue, status: DagsterRunStatus, code_location: str) -> int:
    runs = queue.instance.get_runs(RunsFilter(statuses=[status]))
    return sum(1 for run in runs if run.remote_job_origin and run.remote_job_origin.location_name == code_location)


def test_a_queue_goes_on_after_the_migration(queue: RunQueue, written: dict[str, Any]) -> None:
    """Statuses, tags, limits and live changes hold; queued runs without a tag get one; the queue drains."""
    assert contents(queue) == written["runs"]
    assert _runs(queue, DagsterRunStatus.QUEUED, A) == 6
    assert _runs(queue, DagsterRunStatus.QUEUED, B) == 3
    assert (queue.in_progress(A), queue.in_progress(B)) == (2, 2)

    # a's live limit of 3 leaves room for one, b is paused
    assert queue.tick() == {A: 1}
    tagged = queue.instance.get_runs(RunsFilter(tags={CLT_TAG_KEY: A}))
    assert len(tagged) == 8

    queue.end(B, 2)
    assert queue.tick() == {}
    live.resume(queue.instance, B)
    assert queue.tick() == {B: 2}

    live.clear_limit(queue.instance, A)
    queue.end(A, 2)
    assert queue.tick() == {A: 1}

    new = queue.submit(B)
    assert new.tags[CLT_TAG_KEY] == B
    for _ in range(5):
        for code_location in (A, B):
            queue.end(code_location, queue.in_progress(code_location))
        queue.tick()
        assert max(queue.in_progress(A), queue.in_progress(B)) <= 2
    assert not queue.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))


def test_the_oldest_dagster_goes_on_with_the_migrated_database(home: Path, written: dict[str, Any]) -> None:
    """The way back after a migration: the queue, the limits and the live changes are as they were."""
    went_on = json.loads(_run(str(OLDEST_PYTHON), "-m", "tests.migration.go_on", str(home), home=home))
    assert went_on == {"version": written["version"], "first": {A: 1}, "second": {B: 2}}
