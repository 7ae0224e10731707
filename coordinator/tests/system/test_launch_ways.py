"""Every run in the queue carries its code location, whichever way it was launched."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus as Status
from harness.system import CODE_LOCATIONS, System, trial_config
from harness.waiting import wait_until
from tests.system.launch_ways import SPOOFING, WAYS, Way

# Before it is submitted, a run is in the database without being in the queue.
SUBMITTED = [status for status in Status if status is not Status.NOT_STARTED]


@pytest.fixture(scope="module")
def system(home: Path) -> Iterator[System]:
    """One system for all ways."""
    with System(
        home,
        trial_config(),
        environment={"REFRESH_SEARCH_INDEX_CRON": "* * * * *", "PYTHONPATH": str(Path(__file__).parents[2])},
        code_locations={**CODE_LOCATIONS, SPOOFING: "tests.system.spoofing"},
    ) as running:
        yield running


@pytest.fixture(scope="module")
def instance(system: System) -> Iterator[dg.DagsterInstance]:
    """The system's instance."""
    with system.instance() as opened:
        yield opened


@pytest.fixture(scope="module")
def launches(system: System, instance: dg.DagsterInstance) -> Iterator[dict[str, Future[dg.RunsFilter]]]:
    """Every way, driven at once: several of them wait for a tick of the daemon."""
    with ThreadPoolExecutor(len(WAYS)) as threads:
        yield {way.name: threads.submit(way.drive, system, instance) for way in WAYS}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_runs_carry_their_code_location(
    way: Way, launches: dict[str, Future[dg.RunsFilter]], instance: dg.DagsterInstance
) -> None:
    """Runs launched this way are tagged with their code location's name, also where something else was asked."""
    launched = launches[way.name].result()
    submitted = dg.RunsFilter(run_ids=launched.run_ids, tags=launched.tags, statuses=SUBMITTED)
    runs = wait_until(f"a run by {way.name}", lambda: instance.get_runs(submitted))
    assert {run.tags.get(CLT_TAG_KEY) for run in runs} == {way.code_location}
    # Limits and the UI look runs up by their tags, which the database keeps a second time.
    own = dg.RunsFilter(run_ids=[run.run_id for run in runs], tags={CLT_TAG_KEY: way.code_location})
    assert instance.get_runs_count(own) == len(runs)
