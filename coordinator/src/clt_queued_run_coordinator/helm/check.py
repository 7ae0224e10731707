"""`dagster-clt check --values`: every finding on Helm values."""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from clt_queued_run_coordinator.helm.chart import read_chart
from clt_queued_run_coordinator.helm.coordinator import coordinator_findings, names_our_coordinator
from clt_queued_run_coordinator.helm.images import image_findings
from clt_queued_run_coordinator.helm.limits import code_locations, limit_findings
from clt_queued_run_coordinator.helm.unknown_keys import unknown_keys
from clt_queued_run_coordinator.helm.values import read_values
from clt_queued_run_coordinator.operate.finding import Finding


@dataclass(frozen=True)
class ValuesReport:
    """What a check of Helm values found.

    Attributes:
        findings: What is wrong, in the order of the checks.
        skipped: One line for each check that could not be made: its name and why.
    """

    findings: list[Finding]
    skipped: list[str]


def findings_in_values(files: Sequence[pathlib.Path], chart: pathlib.Path | None) -> ValuesReport:
    """Check Helm values before they are deployed.

    Args:
        files: The values files, in the order in which `helm upgrade -f` takes them; judged as merged.
        chart: The directory or archive of the chart they are for; without it keys can't be judged.

    Raises:
        HelmInputError: A file or the chart can't be read.
    """
    values = read_values(files)
    findings = list(values.repeated)
    skipped = []
    if chart:
        findings += unknown_keys(values, read_chart(chart))
    else:
        skipped.append("keys that the chart doesn't know: no chart is named")
    if names_our_coordinator(values):
        findings += [*coordinator_findings(values), *limit_findings(values), *image_findings(values)]
        if code_locations(values) is None:
            skipped.append("limits that name no deployment: the values don't name the code locations")
    else:
        skipped.append("coordinator, limits and images: the values don't name this package's coordinator")
    return ValuesReport(findings, skipped)
