"""Keys that a chart doesn't know."""

import os
import pathlib

import pytest
from dagster_deploy_tools.check import findings_in_values

from tools.tests.helm_files import VALUES, check, write_chart

DEPLOYMENT = "dagster-user-deployments.deployments[0]"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("dagsterWebServer: {}", "'dagsterWebServer', so Helm ignores it; write 'dagsterWebserver'"),
        (
            "dagsterWebserver: {imge: {}}",
            "'dagsterWebserver.imge', so Helm ignores it; write 'dagsterWebserver.image'",
        ),
        (
            "dagsterDaemon: {image: {tags: x}}",
            "'dagsterDaemon.image.tags', so Helm ignores it; write 'dagsterDaemon.image.tag'",
        ),
        (
            "runCoordinator: {}",
            "'runCoordinator', so Helm ignores it; the chart knows it as 'dagsterDaemon.runCoordinator'",
        ),
        (
            "dagsterDaemon: {quota: 1}",
            "'dagsterDaemon.quota', so Helm ignores it; remove it, or write one of image, labels, runCoordinator",
        ),
        ("pipelineRun: {imag: {}}", "'pipelineRun.imag', so Helm ignores it; write 'pipelineRun.image'"),
        (
            "dagster-user-deployments: {deployments: [{nam: a}]}",
            f"'{DEPLOYMENT}.nam', so Helm ignores it; write '{DEPLOYMENT}.name'",
        ),
    ],
)
def test_unknown_key(tmp_path: pathlib.Path, text: str, line: str) -> None:
    """A key that the chart doesn't know is found, with the nearest one that it does."""
    findings, _ = check(tmp_path, text, chart=write_chart(tmp_path / "chart"))
    assert findings == [f"0.yaml:1: the chart knows no key {line}"]


@pytest.mark.parametrize(
    "text",
    [
        "dagsterWebserver: {labels: {team: a}, startupProbe: {enabled: true, exec: {command: [a]}}}",
        "runLauncher: {type: K8sRunLauncher}",
        "dagsterDaemon: {runCoordinator: {anything: 1}}",
        "flower: {env: {A: b}}",
        "rbacEnabled: false",
        "pipelineRun: {image: {digest: a}, env: {A: b}}",
        "dagster-user-deployments: {deployments: [{name: a, service: {annotations: {a: b}}}]}",
        "postgresql: {persistence: {size: 1Gi}}",
        "global: {imageRegistry: a}",
        "tags: {backend: true}",
    ],
)
def test_known_key(tmp_path: pathlib.Path, text: str) -> None:
    """Schema, default values and templates each make a key known; free maps and foreign subcharts take any."""
    findings, _ = check(tmp_path, text, chart=write_chart(tmp_path / "chart"))
    assert findings == []


@pytest.fixture
def dagster_chart() -> pathlib.Path:
    """Dagster's own chart, a directory or an archive named by DAGSTER_CHART."""
    if "DAGSTER_CHART" not in os.environ:
        pytest.skip("DAGSTER_CHART names no copy of Dagster's chart")
    return pathlib.Path(os.environ["DAGSTER_CHART"])


def test_dagsters_chart_knows_its_own_values(dagster_chart: pathlib.Path) -> None:
    """The chart's own values give no finding."""
    if not dagster_chart.is_dir():
        pytest.skip("DAGSTER_CHART is an archive, so its values are no file")
    assert findings_in_values([dagster_chart / "values.yaml"], dagster_chart).findings == []


def test_values_for_dagsters_chart(tmp_path: pathlib.Path, dagster_chart: pathlib.Path) -> None:
    """Right values for Dagster's chart give no finding, also where only a template reads a key."""
    text = """\
        dagsterWebserver:
          schedulerName: a
          podSecurityContext: {runAsNonRoot: true, fsGroup: 1000}
          startupProbe: {enabled: true, exec: {command: [dagster-clt, probe]}}
          volumes: [{name: a, emptyDir: {}}]
        flower: {nameOverride: a, env: {A: b}}
        ingress: {ingressClassName: nginx, apiVersion: networking.k8s.io/v1/Ingress}
        postgresql: {existingSecret: a, persistence: {size: 1Gi}}
        extraManifests: [{kind: ConfigMap}]
        retention: {enabled: true, schedule: {purgeAfterDays: 30}, sensor: {purgeAfterDays: {skipped: 7}}}
        """
    assert check(tmp_path, VALUES, text, chart=dagster_chart) == ([], [])


def test_the_silent_trap(tmp_path: pathlib.Path, dagster_chart: pathlib.Path) -> None:
    """The misspelling that leaves the webserver on the stock image is found in values for Dagster's chart."""
    findings, _ = check(tmp_path, VALUES.replace("dagsterWebserver", "dagsterWebServer"), chart=dagster_chart)
    assert findings == [
        "0.yaml:1: the chart knows no key 'dagsterWebServer', so Helm ignores it; write 'dagsterWebserver'",
        "0.yaml: 'dagsterWebserver.image.repository' is not set, so it is the chart's own image, which lacks the"
        " coordinator; write the repository of an image that holds it",
    ]
