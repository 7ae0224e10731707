"""Every way in which a run gets into the queue, each driven as its user drives it.

`dagster job execute` and `dagster asset materialize` are none: they run in the caller's process, past every queue.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from dagster import DagsterRunStatus as Status
from dagster import RunsFilter
from harness.graphql import REPOSITORY, Launch, repository, tag_list
from harness.system import System
from harness.waiting import wait_until

A = "code-location-a"
B = "code-location-b"
SPOOFING = "spoofing"
SPOOFED = {CLT_TAG_KEY: "other"}
DAY = "2026-01-01"


@dataclass(frozen=True)
class Way:
    """A way of launching.

    Attributes:
        name: What it is called.
        code_location: The code location that its runs belong to.
        drive: Launches, and returns how its runs are found.
    """

    name: str
    code_location: str
    drive: Callable[[System, dg.DagsterInstance], RunsFilter]


def launch_run(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """The launchpad of the UI."""
    return RunsFilter([system.graphql.launch(_index(SPOOFED))])


def launch_multiple_runs(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """A launch of several with one request."""
    return RunsFilter(system.graphql.launch_several([_books(SPOOFED), _books({})]))


def job_with_spoofed_tags(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """A launch of a job whose definition carries the tag."""
    return RunsFilter([system.graphql.launch(Launch(SPOOFING, "spoofing_job"))])


def reexecute_all_steps(system: System, instance: dg.DagsterInstance) -> RunsFilter:
    """The UI's "Re-execute all"."""
    return _reexecute(system, instance, "ALL_STEPS")


def reexecute_from_failure(system: System, instance: dg.DagsterInstance) -> RunsFilter:
    """The UI's "Re-execute from failure"."""
    return _reexecute(system, instance, "FROM_FAILURE")


def automatic_retry(system: System, instance: dg.DagsterInstance) -> RunsFilter:
    """The daemon's retry of a failed run."""
    parent = _failed_run(system, instance, SPOOFED)
    return RunsFilter(tags={"dagster/parent_run_id": parent, "dagster/retry_number": "1"})


def schedule(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """A schedule; the system's environment makes it tick each minute."""
    return _start_schedule(system, A, "refresh_search_index_schedule")


def spoofing_schedule(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """A schedule whose run requests carry the tag."""
    return _start_schedule(system, SPOOFING, "spoofing_schedule")


def sensor(system: System, instance: dg.DagsterInstance) -> RunsFilter:
    """A sensor that watches another code location's asset."""
    found = _start_sensor(system, B, "new_orders")
    instance.report_runless_asset_event(
        dg.AssetMaterialization("orders", partition=DAY, metadata={"revenue": 100.0})
    )
    return found


def spoofing_sensor(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """A sensor whose run requests carry the tag."""
    return _start_sensor(system, SPOOFING, "spoofing_sensor")


def job_backfill(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """A backfill of a partitioned job."""
    return _backfill(
        system,
        selector={"partitionSetName": "orders_job_partition_set", "repositorySelector": repository(A)},
        partitionNames=[DAY, "2026-01-02"],
    )


def asset_backfill(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """A backfill of a partitioned asset."""
    return _backfill(system, assetSelection=[{"path": ["orders"]}], partitionNames=["2026-01-03"])


def declarative_automation(system: System, instance: dg.DagsterInstance) -> RunsFilter:
    """The automation condition of an asset whose upstream, in another code location, changes."""
    name = "default_automation_condition_sensor"
    found = _start_sensor(system, B, name)
    # What is there at the first tick is no change.
    wait_until("the automation sensor's first tick", lambda: _ticks(system, B, name))
    instance.report_runless_asset_event(
        dg.AssetMaterialization("exchange_rates", metadata={"rates": dg.MetadataValue.json({"EUR": 1.0})})
    )
    return found


def spoofing_automation(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """An automation sensor whose run tags carry the tag."""
    return _start_sensor(system, SPOOFING, "spoofing_automation")


def job_launch(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """`dagster job launch` on the command line."""
    run_id = str(uuid.uuid4())
    command = system.process(
        "job-launch", "dagster", "job", "launch", "--workspace", str(system.workspace), "--location", B,
        "--repository", REPOSITORY, "--job", "close_books", "--run-id", run_id, "--tags", json.dumps(SPOOFED),
    )  # fmt: skip
    command.start()
    assert command.wait(180) == 0, command.output()
    return RunsFilter([run_id])


def job_backfill_command(system: System, _: dg.DagsterInstance) -> RunsFilter:
    """`dagster job backfill` on the command line."""
    command = system.process(
        "job-backfill", "dagster", "job", "backfill", "--workspace", str(system.workspace), "--location", A,
        "--repository", REPOSITORY, "--job", "orders_job", "--partitions", "2026-01-04", "--noprompt",
        "--tags", json.dumps({**SPOOFED, "backfill_command": "yes"}),
    )  # fmt: skip
    command.start()
    assert command.wait(180) == 0, command.output()
    return RunsFilter(tags={"backfill_command": "yes"})


WAYS = [
    Way("GraphQL launchRun", A, launch_run),
    Way("GraphQL launchMultipleRuns", B, launch_multiple_runs),
    Way("job with spoofed tags", SPOOFING, job_with_spoofed_tags),
    Way("re-execution of all steps", A, reexecute_all_steps),
    Way("re-execution from failure", A, reexecute_from_failure),
    Way("automatic run retry", A, automatic_retry),
    Way("schedule", A, schedule),
    Way("schedule with spoofed tags", SPOOFING, spoofing_schedule),
    Way("sensor", B, sensor),
    Way("sensor with spoofed tags", SPOOFING, spoofing_sensor),
    Way("job backfill", A, job_backfill),
    Way("asset backfill", A, asset_backfill),
    Way("declarative automation", B, declarative_automation),
    Way("declarative automation with spoofed tags", SPOOFING, spoofing_automation),
    Way("dagster job launch", B, job_launch),
    Way("dagster job backfill", A, job_backfill_command),
]


def _index(tags: dict[str, str], *, fails: bool = False) -> Launch:
    steps = {"collect": {"config": {"rows": 1}}, "publish": {"config": {"fail_first_attempt": fails}}}
    return Launch(A, "refresh_search_index", {"ops": steps}, tags)


def _books(tags: dict[str, str]) -> Launch:
    return Launch(B, "close_books", {"ops": {"balance": {"config": {"rows": 1}}}}, tags)


def _failed_run(system: System, instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    run_id = system.graphql.launch(_index(tags, fails=True))
    wait_until(
        f"run {run_id} has failed", lambda: instance.get_runs(RunsFilter([run_id], statuses=[Status.FAILURE]))
    )
    return run_id


def _reexecute(system: System, instance: dg.DagsterInstance, strategy: str) -> RunsFilter:
    parent = _failed_run(system, instance, {"dagster/max_retries": "0"})
    answer = system.graphql.ask(
        """
        mutation ($parameters: ReexecutionParams!) {
          launchRunReexecution(reexecutionParams: $parameters) {
            ... on LaunchRunSuccess { run { runId } }
            ... on Error { message }
          }
        }
        """,
        parameters={"parentRunId": parent, "strategy": strategy, "extraTags": tag_list(SPOOFED)},
    )
    return RunsFilter([answer["run"]["runId"]])


def _start_schedule(system: System, code_location: str, name: str) -> RunsFilter:
    system.graphql.ask(
        """
        mutation ($selector: ScheduleSelector!) {
          startSchedule(scheduleSelector: $selector) { __typename ... on Error { message } }
        }
        """,
        selector={**repository(code_location), "scheduleName": name},
    )
    return RunsFilter(tags={"dagster/schedule_name": name})


def _start_sensor(system: System, code_location: str, name: str) -> RunsFilter:
    system.graphql.ask(
        """
        mutation ($selector: SensorSelector!) {
          startSensor(sensorSelector: $selector) { __typename ... on Error { message } }
        }
        """,
        selector={**repository(code_location), "sensorName": name},
    )
    return RunsFilter(tags={"dagster/sensor_name": name})


def _ticks(system: System, code_location: str, name: str) -> list[Any]:
    answer = system.graphql.ask(
        """
        query ($selector: SensorSelector!) {
          sensorOrError(sensorSelector: $selector) {
            ... on Sensor { sensorState { ticks(limit: 1, statuses: [SKIPPED, SUCCESS]) { id } } }
            ... on Error { message }
          }
        }
        """,
        selector={**repository(code_location), "sensorName": name},
    )
    ticks: list[Any] = answer["sensorState"]["ticks"]
    return ticks


def _backfill(system: System, **parameters: Any) -> RunsFilter:
    answer = system.graphql.ask(
        """
        mutation ($parameters: LaunchBackfillParams!) {
          launchPartitionBackfill(backfillParams: $parameters) {
            ... on LaunchBackfillSuccess { backfillId }
            ... on Error { message }
          }
        }
        """,
        parameters={**parameters, "tags": tag_list(SPOOFED)},
    )
    return RunsFilter(tags={"dagster/backfill": answer["backfillId"]})
