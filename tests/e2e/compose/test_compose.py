"""What compose.yaml promises: limits that hold, restarts that lose nothing, checks that see a wrong image."""

import logging
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
import requests
import yaml
from harness.concurrency import peak_by_code_location, violations
from harness.event_log import run_histories, runs_in_progress
from harness.launches import A, B, launch_of
from harness.waiting import count_ended, wait_until

from tests.e2e.compose.deployment import CODE_LOCATIONS, ROOT, SERVICES, ComposeDeployment

log = logging.getLogger(__name__)
OPTIONS = yaml.safe_load((ROOT / "deploy" / "compose" / "dagster.yaml").read_text())["run_coordinator"]["config"]
LIMITS: dict[str, int] = OPTIONS["code_location_limits"]["locations"]


def wait_for_ends(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Wait until each of the runs has ended."""
    wait_until(
        f"{len(run_ids)} runs ended", lambda: count_ended(instance, run_ids) == len(run_ids), seconds=600, every=1
    )


@pytest.mark.parametrize("service", [name for name in SERVICES if "healthcheck" in SERVICES[name]])
def test_the_check_of_a_healthy_service_succeeds(deployment: ComposeDeployment, service: str) -> None:
    """Each check runs in its container; run by hand, since podman needs systemd to run it by itself."""
    _, command = SERVICES[service]["healthcheck"]["test"]
    check = partial(deployment.exec, service, "/bin/sh", "-c", f"({command}) && echo healthy || echo ill")
    wait_until(f"{service} is healthy", lambda: "healthy" in check(), seconds=120, every=2)


@pytest.mark.parametrize("service", ["daemon", "webserver", *CODE_LOCATIONS])
def test_the_check_fails_where_the_coordinator_cannot_be_loaded(
    deployment: ComposeDeployment, service: str
) -> None:
    """As in an image without the package: the program runs, and the check says what is wrong."""
    _, command = SERVICES[service]["healthcheck"]["test"]
    broken = (
        "mkdir -p /tmp/broken && sed s/CLTQueued/Misspelt/ $DAGSTER_HOME/dagster.yaml > /tmp/broken/dagster.yaml"
    )
    answer = deployment.exec(
        service, "/bin/sh", "-c", f"{broken}; export DAGSTER_HOME=/tmp/broken; ({command}) 2>&1 || echo ill"
    )
    assert "MisspeltRunCoordinator" in answer
    assert answer.strip().endswith("ill")


def test_the_limits_hold_under_a_flood_while_programs_restart(deployment: ComposeDeployment) -> None:
    """Runs of both code locations queue up; daemon and webserver are restarted in the middle. Nothing is lost."""
    launches = [launch_of(A, 2), launch_of(B, 2)] * 6
    with deployment.instance() as instance:
        run_ids = deployment.graphql.launch_several(launches)
        wait_until("a run has ended", lambda: count_ended(instance, run_ids), seconds=300, every=1)
        log.info("restarting daemon and webserver")
        deployment.compose("restart", "daemon", "webserver")
        deployment.wait_until_loaded()
        run_ids += deployment.graphql.launch_several([launch_of(A, 1), launch_of(B, 1)])
        wait_for_ends(instance, run_ids)
        histories = run_histories(instance, run_ids)
        runs = runs_in_progress(instance, run_ids)
    assert {(run.status, run.worker_starts, run.tag == run.code_location) for run in histories} == {
        ("SUCCESS", 1, True)
    }
    assert violations(runs, LIMITS, OPTIONS["max_concurrent_runs"]) == []
    assert peak_by_code_location(runs) == LIMITS


def test_queue_and_live_changes_outlive_all_containers(deployment: ComposeDeployment) -> None:
    """Drained, taken down and brought up again: the queue, the pause and a live limit are as before."""
    deployment.exec("daemon", "dagster-clt", "set-limit", A, "1")
    deployment.exec("daemon", "dagster-clt", "drain", "--all", "--timeout", "5m")
    run_ids = deployment.graphql.launch_several([launch_of(A, 1)] * 3)
    log.info("taking the containers down and bringing them up")
    deployment.compose("down")
    deployment.up()
    with deployment.instance() as instance:
        queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        assert sorted(run.run_id for run in queued) == sorted(run_ids)
        deployment.exec("daemon", "dagster-clt", "resume", "--all")
        wait_for_ends(instance, run_ids)
        assert {run.status.value for run in instance.get_runs(dg.RunsFilter(run_ids=run_ids))} == {"SUCCESS"}
        assert peak_by_code_location(runs_in_progress(instance, run_ids)) == {A: 1}
    deployment.exec("daemon", "dagster-clt", "clear-limit", A)


def test_the_metrics_name_each_limit(deployment: ComposeDeployment) -> None:
    """Prometheus reads the limits from the published port."""
    answer = requests.get(deployment.metrics_url, timeout=60).text
    for location, limit in LIMITS.items():
        assert f'dagster_clt_limit_runs{{code_location="{location}"}} {float(limit)}' in answer


def test_the_page_of_the_queue_has_each_code_location(deployment: ComposeDeployment) -> None:
    """A browser reads it from the published port."""
    answer = requests.get(deployment.page_url, timeout=60)
    assert answer.status_code == 200
    assert all(location in answer.text for location in LIMITS)


def test_what_a_run_prints_is_kept(deployment: ComposeDeployment) -> None:
    """Runs write their logs into the volume that the webserver reads."""
    (run_id,) = deployment.graphql.launch_several([launch_of(A, 1)])
    with deployment.instance() as instance:
        wait_for_ends(instance, [run_id])
    found = deployment.exec("webserver", "find", "/opt/dagster/dagster_home/storage", "-path", f"*{run_id}*")
    assert any(Path(line).suffix == ".err" for line in found.splitlines()), found
