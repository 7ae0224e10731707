"""Launches with any tags and any run config through the webserver: answered, and the daemon's loop goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus, RunsFilter
from gql.transport.exceptions import TransportQueryError
from harness.graphql import GraphQLError, Launch
from harness.system import System, trial_config
from harness.waiting import wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.strategies import json_values
from tests.fuzz.tried import TRIED
from tests.postgresql import PostgreSQL

A = "code-location-a"
HELD = {"held": "yes"}
KNOWN = [
    CLT_TAG_KEY, "dagster/code_location", "dagster/priority", "dagster/max_retries", "dagster/concurrency_key",
    "dagster/max_runtime_seconds", "dagster/run_key", "dagster/backfill", "dagster/partition",
]  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.sampled_from(["", "\x00", "x" * 300])
tags = st.dictionaries(st.sampled_from(KNOWN) | texts, texts | st.integers().map(str), max_size=4)
run_configs = st.dictionaries(
    st.sampled_from(["ops", "resources", "execution", "loggers"]) | st.text(max_size=5), json_values, max_size=3
) | json_values.map(lambda value: {"ops": {"collect": {"config": {"seconds": value}}}})


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSQL, template: str) -> Iterator[System]:
    """Launched runs stay in the queue, where each tick of the daemon reads their tags."""
    config = trial_config(tag_concurrency_limits=[{"key": "held", "limit": 0}])
    config["storage"] = {"postgres": {"postgres_url": postgresql.url(postgresql.clone(template))}}
    home: Path = tmp_path_factory.mktemp("fuzz") / "home"
    with System(home, config) as running:
        yield running


def launch(system: System, **options: Any) -> None:
    """Launch a run that stays in the queue; a refusal must be GraphQL's own, not a broken connection."""
    try:
        run_id = system.graphql.launch(Launch(A, "refresh_search_index", **options))
    except (GraphQLError, TransportQueryError):
        return
    with system.instance() as instance:
        run = instance.get_run_by_id(run_id)
    assert run
    assert run.tags[CLT_TAG_KEY] == A


def still_starts_runs(system: System) -> None:
    """The daemon starts a run of either code location, past what is held in the queue."""
    launches = [Launch(A, "refresh_search_index"), Launch("code-location-b", "close_books")]
    ids = system.graphql.launch_several(launches)
    with system.instance() as instance:
        ended = RunsFilter(run_ids=ids, statuses=[DagsterRunStatus.SUCCESS])
        wait_until("a run of each succeeds", lambda: len(instance.get_runs(ended)) == len(ids), seconds=600)


@pytest.mark.timeout(1800)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(tags=tags)
def test_any_tags(system: System, tags: dict[str, str]) -> None:
    """Launched with any tags, a run is refused or queued with its own code location's tag."""
    TRIED["tags of a launch"] += 1
    launch(system, tags={**tags, **HELD})


@pytest.mark.timeout(1800)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(run_config=run_configs)
def test_any_run_config(system: System, run_config: dict[str, Any]) -> None:
    """Launched with any run config, a run is refused or queued with its own code location's tag."""
    TRIED["run config of a launch"] += 1
    launch(system, run_config=run_config, tags=HELD)


@pytest.mark.timeout(1800)
def test_the_daemon_goes_on(system: System) -> None:
    """After all these, runs are started."""
    still_starts_runs(system)
