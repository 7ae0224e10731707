"""`dagster-clt check --values`: every finding on Helm values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from clt_queued_run_coordinator.operate.finding import Finding

from dagster_deploy_tools.chart import Chart, read_chart
from dagster_deploy_tools.coordinator import coordinator_findings, names_our_coordinator, shadowed_findings
from dagster_deploy_tools.images import image_findings
from dagster_deploy_tools.instance import Instance
from dagster_deploy_tools.keys import key_findings
from dagster_deploy_tools.limits import code_locations, limit_findings
from dagster_deploy_tools.values import USER_DEPLOYMENTS, Values, read_values, with_new_names
from dagster_deploy_tools.yaml_file import HelmInputError, Path, dotted

_OF_DAGSTERS_CHART = {"dagsterWebserver", "dagsterDaemon", "dagit", USER_DEPLOYMENTS}


@dataclass(frozen=True)
class ValuesReport:
    """What a check of Helm values found.

    Attributes:
        findings: What is wrong, in the order of the checks.
        skipped: One line for each check that could not be made: its name and why.
    """

    findings: list[Finding]
    skipped: list[str]


def findings_in_values(files: Sequence[File], chart: File | None) -> ValuesReport:
    """Check Helm values before they are deployed.

    Args:
        files: The values files, in the order in which `helm upgrade -f` takes them; judged as merged.
        chart: The folder or archive of the chart they are for; without it keys can't be judged.

    Raises:
        HelmInputError: A file or the chart can't be read, or there is nothing in the files that could be checked.
    """
    return findings_in(read_values(files), read_chart(chart) if chart else None)


def findings_in(values: Values, known: Chart | None = None) -> ValuesReport:
    """Check values; see `findings_in_values`."""
    report = ValuesReport(list(values.findings), [])
    parts = list(known.dagsters()) if known else [(path, None) for path in dagster_parts(values.data)]
    if known and not parts:
        raise HelmInputError(
            f"{known.place}: neither Dagster's chart nor one with it in charts/, so nothing was checked; run `helm"
            " dependency build` there, or name Dagster's chart"
        )
    for path, part in parts:
        below = Values(with_new_names(values.block(*path)), values.where(*path))
        if path:
            report.skipped.append(f"all but {dotted(path)!r} ({below.place}), the values of Dagster's chart")
        if part:
            report.findings.extend(key_findings(below, part))
        if names_our_coordinator(below):
            _check(below, report)
        else:
            report.skipped.append(
                "coordinator, limits and images: the values don't name this package's coordinator"
            )
    if known is None:
        report.skipped.append("keys that the chart doesn't know: no chart is named")
        if not any(names_our_coordinator(Values(values.block(*path), "")) for path, _ in parts):
            what = "don't name this package's coordinator" if parts else "have no key of Dagster's chart"
            cure = "name all of their files, or name the chart with --chart to have their keys checked"
            report.findings.append(values.finding((), f"the values {what}, so nothing was checked", cure))
    return report


def _check(values: Values, report: ValuesReport) -> None:
    """Check the values of Dagster's chart, which name our coordinator."""
    instance = Instance(values)
    found, ours = coordinator_findings(values, instance)
    report.findings.extend([*found, *instance.findings()])
    if ours:
        report.findings.extend(
            [*shadowed_findings(values, instance, ours), *limit_findings(values, instance, ours)]
        )
        if code_locations(values) is None:
            report.skipped.append("limits that name no deployment: the values don't name the code locations")
    else:
        report.skipped.append("limits: the coordinator can't be loaded, see the findings")
    report.findings.extend(image_findings(values))


def dagster_parts(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where the values of Dagster's chart are, by its keys."""
    if isinstance(value, dict) and not _OF_DAGSTERS_CHART.isdisjoint(value):
        yield path
    elif isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from dagster_parts(below, (*path, key))
