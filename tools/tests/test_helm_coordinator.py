"""The run coordinator in Helm values: its name, whether it is in force, and its options."""

from pathlib import Path

import pytest

from tools.tests.helm_files import VALUES, check, options

MODULE = "clt_queued_run_coordinator.coordinator"
RUN_COORDINATOR = "dagsterDaemon: {runCoordinator: "


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        (
            RUN_COORDINATOR + "{config: {customRunCoordinator: {module: clt_queue_run_coordinator.coordinator}}}}",
            "1.yaml:1: there is no module 'clt_queue_run_coordinator.coordinator', so no daemon starts with it;"
            f" write '{MODULE}'",
        ),
        (
            RUN_COORDINATOR + "{config: {customRunCoordinator: {module: clt_queued_run_coordinator.cordinator}}}}",
            "1.yaml:1: there is no module 'clt_queued_run_coordinator.cordinator', so no daemon starts with it;"
            f" write '{MODULE}'",
        ),
        (
            RUN_COORDINATOR + "{config: {customRunCoordinator: {class: CLTQueuedRunCordinator}}}}",
            f"1.yaml:1: module '{MODULE}' has no run coordinator 'CLTQueuedRunCordinator',"
            " so no daemon starts with it; write 'CLTQueuedRunCoordinator'",
        ),
        (
            RUN_COORDINATOR + "{type: QueuedRunCoordinator}}",
            "1.yaml:1: 'dagsterDaemon.runCoordinator.type' is 'QueuedRunCoordinator',"
            " so customRunCoordinator is left out; write 'CustomRunCoordinator'",
        ),
        (
            RUN_COORDINATOR + "{type: null}}",
            "1.yaml:1: 'dagsterDaemon.runCoordinator.type' is not set,"
            " so customRunCoordinator is left out; write 'CustomRunCoordinator'",
        ),
        (
            RUN_COORDINATOR + "{enabled: false}}",
            "1.yaml:1: 'dagsterDaemon.runCoordinator.enabled' is false, so the chart configures none; write true",
        ),
        (
            options("dequeueNumWorkers: 4"),
            "1.yaml:6: the coordinator has no option 'dequeueNumWorkers', so no daemon starts with it;"
            " write 'dequeue_num_workers'",
        ),
        (
            options("block_op_concurrency_limited_runs:\n  opConcurrencySlotBuffer: 3"),
            "1.yaml:7: the coordinator has no option 'block_op_concurrency_limited_runs.opConcurrencySlotBuffer',"
            " so no daemon starts with it; write 'op_concurrency_slot_buffer'",
        ),
        (
            options("tag_concurrency_limits:\n  - {key: team, limit: 3, vaule: a}"),
            "1.yaml:7: the coordinator has no option 'tag_concurrency_limits[0].vaule',"
            " so no daemon starts with it; write 'value'",
        ),
        (
            options("tag_concurrency_limits:\n  - {key: team}"),
            "1.yaml:7: 'tag_concurrency_limits[0]' lacks 'limit', so no daemon starts with it; add it",
        ),
        (
            options("dequeue_num_workers: many"),
            "1.yaml:6: the coordinator refuses 'dequeue_num_workers': Invalid scalar. Value \"many\" of type"
            " \"<class 'str'>\" is not valid for expected type \"Int\"; correct it",
        ),
        (
            options("codeLocationLimits: {default: 3}"),
            "1.yaml:6: the coordinator has no option 'codeLocationLimits', so no daemon starts with it;"
            " write 'code_location_limits'",
        ),
        (
            options("code_location_limits:\n  locations:\n    code-location-a: {limit: 3, wieght: 2}"),
            "1.yaml:8: the coordinator has no option 'code_location_limits.locations.code-location-a.wieght',"
            " so no daemon starts with it; write 'weight'",
        ),
        (
            options("code_location_limits:\n  sharing: fare"),
            "1.yaml:7: the coordinator refuses its options: code_location_limits.sharing is 'fare'; it must be"
            " fifo or fair",
        ),
        (
            options("code_location_limits:\n  locations:\n    code-location-a: -1"),
            "1.yaml:8: the coordinator refuses its options: code_location_limits.locations.code-location-a is -1;"
            " it must be a whole number of runs, 0 or more",
        ),
        (
            options("max_concurrent_runs: -5"),
            "1.yaml:5: the coordinator refuses its options: Negative values other than -1 (which disables the"
            " limit) for max_concurrent_runs are disallowed; correct it",
        ),
    ],
)  # fmt: skip
def test_finding(tmp_path: Path, overlay: str, line: str) -> None:
    """What would stop the daemon, or leave our coordinator out, is one line."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == [line]


def test_camel_case_maximum_is_one_line(tmp_path: Path) -> None:
    """`maxConcurrentRuns` is told as the misspelt option, not as a missing one as well."""
    findings, _ = check(tmp_path, VALUES.replace("max_concurrent_runs", "maxConcurrentRuns"))
    assert findings == [
        "0.yaml:13: the coordinator has no option 'maxConcurrentRuns', so no daemon starts with it;"
        " write 'max_concurrent_runs'"
    ]


def test_several_unknown_options(tmp_path: Path) -> None:
    """Each unknown option has its line."""
    findings, _ = check(tmp_path, VALUES, options("dequeueUseThreads: true\ncolour: red"))
    assert [line.partition(", so")[0] for line in findings] == [
        "1.yaml:7: the coordinator has no option 'colour'",
        "1.yaml:6: the coordinator has no option 'dequeueUseThreads'",
    ]


@pytest.mark.parametrize(
    "overlay",
    [
        options("max_concurrent_runs: {env: MAX_CONCURRENT_RUNS}"),
        options("dequeue_num_workers: {env: DEQUEUE_NUM_WORKERS}"),
        RUN_COORDINATOR + "{config: {customRunCoordinator: {class: CodeLocationTaggingQueuedRunCoordinator}}}}",
    ],
)
def test_right_options(tmp_path: Path, overlay: str) -> None:
    """Options from the environment and the class's long name are right."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == []
