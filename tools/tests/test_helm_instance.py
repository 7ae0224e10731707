"""What `additionalInstanceConfig` brings raw into `dagster.yaml`, judged by Dagster."""

from pathlib import Path

import pytest

from tools.tests.helm_files import OURS, VALUES, check

RAW = "additionalInstanceConfig:\n"


@pytest.mark.parametrize(
    ("overlay", "lines"),
    [
        (
            RAW + "  run_queue: {max_concurrent_runs: 3}",
            [
                "1.yaml:2: Dagster refuses 'additionalInstanceConfig.run_queue', so nothing starts: Found config"
                " for `run_queue` which is incompatible with `run_coordinator` config entry; move what it says"
                " to the coordinator's options, and remove it"
            ],
        ),
        (
            RAW + "  concurrency:\n    pools: {granularity: runs}",
            [
                "1.yaml:2: Dagster refuses 'additionalInstanceConfig.concurrency', so nothing starts: Found value"
                " `runs` for `granularity`, Expected value 'run' or 'op'; correct it"
            ],
        ),
        (
            RAW + "  concurrency:\n    pools:\n      defaultLimit: 3",
            [
                "1.yaml:4: dagster.yaml has no option 'concurrency.pools.defaultLimit', so no daemon starts with"
                " it; write 'default_limit'"
            ],
        ),
        (
            "concurrency:\n  enabled: true\n  pools:\n    granularity: runs",
            [
                "1.yaml:1: Dagster refuses 'concurrency', so nothing starts: Found value `runs` for `granularity`,"
                " Expected value 'run' or 'op'; correct it"
            ],
        ),
        (
            RAW + "  retentoin: {}",
            [
                "1.yaml:2: dagster.yaml has no option 'retentoin', so no daemon starts with it; write 'retention'",
            ],
        ),
        (
            RAW + "  storage: {sqlite: {base_dir: a}}",
            [
                "1.yaml:2: Dagster refuses 'additionalInstanceConfig.storage', so nothing starts: Found config for"
                " `storage` which is incompatible with `run_storage`, `event_log_storage`, and `schedule_storage`"
                " config entries; correct it"
            ],
        ),
        (
            RAW + "  run_coordinator: {module: dagster, class: QueuedRunCoordinator}",
            [
                "1.yaml:2: 'additionalInstanceConfig.run_coordinator' replaces all of"
                " 'dagsterDaemon.runCoordinator', because the chart writes both into dagster.yaml, where the last"
                " one counts, so this coordinator and all its limits are silently gone; remove it",
            ],
        ),
        (
            RAW + f"  run_coordinator: {{{OURS}, config: {{max_concurrent_runs: 30}}}}",
            [
                "1.yaml:2: 'additionalInstanceConfig.run_coordinator' replaces all of"
                " 'dagsterDaemon.runCoordinator', because the chart writes both into dagster.yaml, where the last"
                " one counts; move what it says into the other, and keep one",
            ],
        ),
    ],
)
def test_finding(tmp_path: Path, overlay: str, lines: list[str]) -> None:
    """What keeps the daemon from starting, or replaces the coordinator, is one line."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == lines


@pytest.mark.parametrize(
    "overlay",
    [
        RAW + "  retention: {schedule: {purge_after_days: 3}}",
        RAW + "  run_queue: null",  # Helm drops it
        RAW + "  instance_class: {module: acme, class: Instance}\n  acme: 3",  # has a schema of its own
        RAW + "  concurrency: {pools: {granularity: run, default_limit: 1}}",
    ],
)
def test_right_instance_config(tmp_path: Path, overlay: str) -> None:
    """What Dagster takes is right."""
    assert check(tmp_path, VALUES, overlay)[0] == []


def test_a_later_file_takes_it_out(tmp_path: Path) -> None:
    """Null deletes what an earlier file brings."""
    assert check(tmp_path, VALUES, RAW + "  run_queue: {}", RAW + "  run_queue: null")[0] == []


@pytest.mark.parametrize("value", ["null", "3", "[]", "text", "{pools: null}", "{pools: 3}", "{runs: 3}"])
def test_values_of_a_wrong_kind(tmp_path: Path, value: str) -> None:
    """Whatever Dagster raises on them is one line."""
    findings, _ = check(tmp_path, VALUES, RAW + f"  concurrency: {value}")
    assert all("\n" not in line and "1.yaml:2: " in line for line in findings)
    assert bool(findings) == (value != "null")


def test_the_coordinator_of_the_raw_part_alone(tmp_path: Path) -> None:
    """It may be written there only; its options are judged like the chart's."""
    without = VALUES.replace("module: clt_queued_run_coordinator.coordinator", "").replace(
        "class: CLTQueuedRunCoordinator", ""
    )
    named = OURS.replace(", ", "\n    ")
    raw = RAW + f"  run_coordinator:\n    {named}\n    config:\n      max_concurrent_run: 30"
    findings, _ = check(tmp_path, without, raw)
    assert findings == [
        "1.yaml:6: the coordinator has no option 'max_concurrent_run', so no daemon starts with it;"
        " write 'max_concurrent_runs'"
    ]
