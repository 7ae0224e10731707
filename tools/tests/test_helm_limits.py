"""Limits in Helm values that can't hold or can't be reached."""

from pathlib import Path

import pytest

from tools.tests.helm_files import NO_CHART, VALUES, check, options

LIMITS = """\
tag_concurrency_limits: null
code_location_limits:
  default: 5
  locations:
    code-location-a: 10
    code-location-b: {limit: 20, weight: 2}
"""
"""An overlay's options: limits of ours instead of limits by tag."""

GROUPS = """\
tag_concurrency_limits: null
code_location_limits:
  locations:
    code-location-a: {limit: 10, min: 4}
    code-location-b: 20
  groups:
    team:
      locations: [code-location-a, code-location-b]
      limit: 12
      min: 6
"""
"""An overlay's options: a group whose limit is less than its code locations' together."""

CHART_TOTAL = "concurrency:\n  enabled: true\n  runs: {{maxConcurrentRuns: {}}}"
INSTANCE_TOTAL = "additionalInstanceConfig:\n  concurrency:\n    runs:\n      max_concurrent_runs: {}"
INSTANCE_TAG_LIMITS = "additionalInstanceConfig:\n  concurrency:\n    runs:\n      tag_concurrency_limits: {}"

NO_TOTAL = VALUES.replace("          max_concurrent_runs: 30\n", "")
"""Values whose coordinator has no total of its own."""


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
            options(GROUPS.replace("code-location-b]", "code-location-c]").replace("20", "2")),
            "1.yaml:13: 'code-location-c' in the group 'team' names no deployment, so it has no part in it;"
            " remove it, or write a deployment's name, the nearest is 'code-location-b'",
        ),
        (
            options(GROUPS.replace("20", "2") + "  sharing: {kind: fair}\nmax_concurrent_runs: 11"),
            "1.yaml:17: 'max_concurrent_runs' is 11, so the limit of 12 can't be reached; write 12 or more",
        ),
        (
            options(GROUPS.replace("min: 4", "min: 11")),
            "1.yaml:9: the coordinator refuses its options: code_location_limits.locations.code-location-a.min is"
            " 11; it must be 10 or less, its limit; lower it, or raise the limit",
        ),
        (
            options(GROUPS.replace("min: 6", "min: 13")),
            "1.yaml:15: the coordinator refuses its options: code_location_limits.groups.team.min is 13; it must"
            " be 12 or less, its limit; lower it, or raise the limit",
        ),
        (
            options(LIMITS.replace("-a: 10", "-a: {min: 5}").replace("20", "26, min: 26") + "  sharing: fair"),
            "1.yaml:7: the coordinator refuses its options: code_location_limits reserves 31 slots"
            " (locations.code-location-b 26, locations.code-location-a 5), but max_concurrent_runs is 30; lower a"
            " min, or raise the total to 31 or more",
        ),
        (
            CHART_TOTAL.format(40),
            "1.yaml:3: the instance's 'concurrency.runs.maxConcurrentRuns', 40, replaces the coordinator's"
            " 'max_concurrent_runs', 30; set it in only one of the two places",
        ),
        (
            INSTANCE_TOTAL.format(40),
            "1.yaml:4: the instance's 'additionalInstanceConfig.concurrency.runs.max_concurrent_runs', 40,"
            " replaces the coordinator's 'max_concurrent_runs', 30; set it in only one of the two places",
        ),
        (
            "concurrency:\n  enabled: true\n  runs:\n    tagConcurrencyLimits: [{key: team, limit: 3}]",
            "1.yaml:4: the instance's 'concurrency.runs.tagConcurrencyLimits' replaces every limit of the"
            " coordinator, live changes and pauses included; take the key out, or move its entries to the"
            " coordinator's 'tag_concurrency_limits'",
        ),
        *(
            (
                INSTANCE_TAG_LIMITS.format(present),
                "1.yaml:4: the instance's 'additionalInstanceConfig.concurrency.runs.tag_concurrency_limits',"
                " empty or not, replaces every limit of the coordinator, live changes and pauses included; take"
                " the key out, or move its entries to the coordinator's 'tag_concurrency_limits'",
            )
            for present in ("[{key: team, limit: 3}]", "[]", "null")
        ),
        *(
            (
                INSTANCE_TAG_LIMITS.format(present) + "\n" + options(LIMITS),
                "1.yaml:4: the instance's 'additionalInstanceConfig.concurrency.runs.tag_concurrency_limits',"
                " empty or not, would replace the coordinator's 'code_location_limits', so no daemon starts with"
                " it; take the key out, or move its entries to the coordinator's 'tag_concurrency_limits'",
            )
            for present in ("[{key: team, limit: 3}]", "[]", "null")
        ),
        (
            options("tag_concurrency_limits: null") + "\n" + INSTANCE_TAG_LIMITS.format("[]"),
            "1.yaml:10: the instance's 'additionalInstanceConfig.concurrency.runs.tag_concurrency_limits', empty"
            " or not, replaces every limit of the coordinator, live changes and pauses included; take the key"
            " out, or move its entries to the coordinator's 'tag_concurrency_limits'",
        ),
        (
            CHART_TOTAL.format(30) + "\nadditionalInstanceConfig: {concurrency: {pools: {default_limit: 1}}}",
            "1.yaml:4: 'additionalInstanceConfig.concurrency' replaces all of 'concurrency', because the chart"
            " writes both into dagster.yaml, where the last one counts; move what it says into the other, and"
            " keep one",
        ),
    ],
)  # fmt: skip
def test_finding(tmp_path: Path, overlay: str, line: str) -> None:
    """A limit that can't hold or can't be reached is one line."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == [line]


def test_no_maximum(tmp_path: Path) -> None:
    """Without `max_concurrent_runs` the class's default is told, with what the limits need."""
    findings, _ = check(tmp_path, NO_TOTAL)
    assert findings == [
        "0.yaml:12: 'max_concurrent_runs' is missing, so the class's own default of 10 runs holds;"
        " write 'max_concurrent_runs: 30' or more"
    ]


@pytest.mark.parametrize(
    "overlay",
    [
        options("max_concurrent_runs: -1"),
        options(LIMITS),
        options(GROUPS + "max_concurrent_runs: 20"),
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


@pytest.mark.parametrize("total", [CHART_TOTAL, INSTANCE_TOTAL], ids=["the chart's", "the instance's"])
def test_one_place_for_the_total_is_enough(tmp_path: Path, total: str) -> None:
    """`concurrency.runs` may hold it instead of the coordinator, and is judged by the limits in the same way."""
    assert check(tmp_path, NO_TOTAL, total.format(30)) == ([], [NO_CHART])
    assert check(tmp_path, VALUES, total.format(30)) == ([], [NO_CHART])
    findings, _ = check(tmp_path, NO_TOTAL, total.format(15))
    assert len(findings) == 1
    assert "is 15, so the limit of 20 can't be reached; write 30 or more" in findings[0]


@pytest.mark.parametrize("value", ["null", "{env: TOTAL}"])
def test_a_total_of_the_instance_that_is_no_number(tmp_path: Path, value: str) -> None:
    """Dagster takes neither null nor an environment variable there."""
    findings, _ = check(tmp_path, NO_TOTAL, INSTANCE_TOTAL.format(value))
    assert len(findings) == 1
    assert findings[0].startswith("1.yaml:4: dagster.yaml refuses 'concurrency.runs.max_concurrent_runs': ")


def test_the_chart_writes_no_empty_tag_limits(tmp_path: Path) -> None:
    """Its template has `tag_concurrency_limits` only where `tagConcurrencyLimits` has entries."""
    overlay = "concurrency: {enabled: true, runs: {maxConcurrentRuns: 30, tagConcurrencyLimits: []}}"
    assert check(tmp_path, NO_TOTAL, options(LIMITS), overlay) == ([], [NO_CHART])


def test_code_locations_are_unknown(tmp_path: Path) -> None:
    """Where the values don't say which code locations there are, the check is named as skipped."""
    assert check(tmp_path, VALUES, "dagster-user-deployments: {enabled: false}") == (
        [],
        ["limits that name no deployment: the values don't name the code locations", NO_CHART],
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


def test_a_user_deployment_that_asks_for_more_than_its_run_needs_is_found(tmp_path: Path) -> None:
    """Its runs ask for the same. A limit counts where there is no request, and what no slot holds doesn't."""
    slot = "code_location_limits:\n  slot: {cpu: 1, memory: 4Gi}\n  default: {run_needs: {cpu: 1, memory: 1Gi}}"
    asking = VALUES.replace(
        "    - name: code-location-b\n",
        "      resources: {requests: {cpu: 1000m, disk: 9Gi}, limits: {cpu: 9, memory: 1G}}\n"
        "    - name: code-location-b\n"
        "      resources: {requests: {cpu: 2x}, limits: {memory: 8Gi}}\n",
    )
    findings, _ = check(tmp_path, asking, options("tag_concurrency_limits: null\n" + slot))
    assert [line.partition(": ")[2] for line in findings] == [
        "'code-location-b' asks for memory 8Gi, which its run_needs doesn't say, so its runs take too few slots;"
        " write 'run_needs: {memory: 8Gi}' for it in 'code_location_limits'"
    ]


def test_a_wrong_quantity_is_refused_as_the_coordinator_does_it(tmp_path: Path) -> None:
    """With its line."""
    findings, _ = check(tmp_path, VALUES, options("code_location_limits:\n  slot: {cpu: 1, memory: 4GiB}"))
    assert "code_location_limits.slot.memory is '4GiB'; it must be a quantity" in findings[0]
