"""Limits in Helm values that can't hold or can't be reached."""

from pathlib import Path

import pytest

from tests.unit.helm_files import NO_CHART, VALUES, check, options

LIMITS = """\
tag_concurrency_limits: null
code_location_limits:
  default: 5
  locations:
    code-location-a: 10
    code-location-b: {limit: 20, weight: 2}
"""
"""An overlay's options: limits of ours instead of limits by tag."""


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        (
            options("tag_concurrency_limits:\n  - {key: code_location, value: code_location_a, limit: 3}"),
            "1.yaml:7: the limit of 'code_location_a' names no deployment, so it limits nothing;"
            " remove it, or write a deployment's name, the nearest is 'code-location-a'",
        ),
        (
            options("tag_concurrency_limits:\n  - {key: dagster/code_location, value: sales, limit: 3}"),
            "1.yaml:7: the limit of 'sales' names no deployment, so it limits nothing;"
            " remove it",
        ),
        (
            options("max_concurrent_runs: 0"),
            "1.yaml:6: 'max_concurrent_runs' is 0, so no run starts; write 30",
        ),
        (
            options("max_concurrent_runs: 15"),
            "1.yaml:6: 'max_concurrent_runs' is 15, so the limit of 20 can't be reached; write 30 or more",
        ),
        (
            options("max_concurrent_runs: 25"),
            "1.yaml:6: 'max_concurrent_runs' is 25, so the limits, 30 in all, can't be reached at once;"
            " write 30 or more, or share the slots with 'code_location_limits: {sharing: fair}'",
        ),
        (
            options(LIMITS + "    code-location-c: 1\nmax_concurrent_runs: 31"),
            "1.yaml:12: the limit of 'code-location-c' names no deployment, so it limits nothing;"
            " remove it, or write a deployment's name, the nearest is 'code-location-b'",
        ),
        (
            options(LIMITS + "max_concurrent_runs: 29"),
            "1.yaml:12: 'max_concurrent_runs' is 29, so the limits, 30 in all, can't be reached at once;"
            " write 30 or more, or share the slots with 'code_location_limits: {sharing: fair}'",
        ),
        (
            options(LIMITS + "  sharing: fair\nmax_concurrent_runs: 19"),
            "1.yaml:13: 'max_concurrent_runs' is 19, so the limit of 20 can't be reached; write 20 or more",
        ),
        (
            "concurrency:\n  enabled: true\n  runs: {maxConcurrentRuns: 40}",
            "1.yaml:3: the instance's 'concurrency.runs.maxConcurrentRuns' replaces the coordinator's"
            " 'max_concurrent_runs'; move it into the coordinator's 'max_concurrent_runs'",
        ),
        (
            "concurrency:\n  enabled: true\n  runs:\n    tagConcurrencyLimits: [{key: team, limit: 3}]",
            "1.yaml:4: the instance's 'concurrency.runs.tagConcurrencyLimits' replaces the coordinator's"
            " 'tag_concurrency_limits'; move it into the coordinator's 'tag_concurrency_limits'",
        ),
        (
            "additionalInstanceConfig:\n  concurrency:\n    runs:\n      tag_concurrency_limits: []",
            "1.yaml:4: the instance's 'additionalInstanceConfig.concurrency.runs.tag_concurrency_limits'"
            " replaces the coordinator's 'tag_concurrency_limits';"
            " move it into the coordinator's 'tag_concurrency_limits'",
        ),
    ],
)  # fmt: skip
def test_finding(tmp_path: Path, overlay: str, line: str) -> None:
    """A limit that can't hold or can't be reached is one line."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == [line]


def test_no_maximum(tmp_path: Path) -> None:
    """Without `max_concurrent_runs` the class's default is told, with what the limits need."""
    findings, _ = check(tmp_path, VALUES.replace("          max_concurrent_runs: 30\n", ""))
    assert findings == [
        "0.yaml:12: 'max_concurrent_runs' is missing, so the class's own default of 10 runs holds;"
        " write 'max_concurrent_runs: 30' or more"
    ]


@pytest.mark.parametrize(
    "overlay",
    [
        options("max_concurrent_runs: -1"),
        options(LIMITS),
        options(LIMITS + "  sharing: fair\nmax_concurrent_runs: 20"),
        options("tag_concurrency_limits: [{key: team, value: {applyLimitPerUniqueValue: true}, limit: 3}]"),
        options("tag_concurrency_limits: [{key: team, value: a, limit: 3}]"),
        "concurrency: {enabled: false, runs: {maxConcurrentRuns: 40}}",
        "concurrency: {enabled: true, runs: {maxConcurrentRuns: null, tagConcurrencyLimits: []}}",
        "concurrency: {enabled: true, pools: {defaultLimit: 3}}",
    ],
)  # fmt: skip
def test_right_limits(tmp_path: Path, overlay: str) -> None:
    """No maximum, limits by other tags, and `concurrency` that replaces nothing are right."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == []


def test_limits_of_ours_are_replaced_too(tmp_path: Path) -> None:
    """The instance's tag limits replace `code_location_limits` as well as the coordinator's tag limits."""
    instance = "additionalInstanceConfig: {concurrency: {runs: {tag_concurrency_limits: []}}}"
    findings, _ = check(tmp_path, VALUES, options(LIMITS), instance)
    assert findings == [
        "2.yaml:1: the instance's 'additionalInstanceConfig.concurrency.runs.tag_concurrency_limits' replaces"
        f" the coordinator's '{option}'; move it into the coordinator's 'tag_concurrency_limits'"
        for option in ("tag_concurrency_limits", "code_location_limits")
    ]


@pytest.mark.parametrize(
    "overlay", ["dagster-user-deployments: null", "dagster-user-deployments: {enabled: false}"]
)
def test_code_locations_are_unknown(tmp_path: Path, overlay: str) -> None:
    """Where the values don't say which code locations there are, the check is named as skipped."""
    assert check(tmp_path, VALUES, overlay) == (
        [],
        [NO_CHART, "limits that name no deployment: the values don't name the code locations"],
    )


def test_code_locations_of_a_fixed_workspace(tmp_path: Path) -> None:
    """With `workspace.servers` the servers are the code locations, by name or by host."""
    overlay = """\
        dagsterWebserver:
          workspace: {enabled: true, servers: [{host: a, port: 1, name: code-location-a}, {host: b, port: 1}]}
        """
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == [
        "0.yaml:18: the limit of 'code-location-b' names no deployment, so it limits nothing;"
        " remove it, or write a deployment's name, the nearest is 'code-location-a'"
    ]
