"""Keys that a chart doesn't know."""

import os
import pathlib
import textwrap

import pytest
from dagster_deploy_tools.check import findings_in_values
from dagster_deploy_tools.yaml_file import HelmInputError

from tools.tests.helm_files import NO_CHART, VALUES, check, write_chart

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
        "ingress: {readOnlyDagit: {host: a}, dagit: {host: b}}",
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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "dagsterDaemon: {image: {repository: [a]}}",
            "Helm refuses 'dagsterDaemon.image.repository': it is not of type 'string'; correct it",
        ),
        (
            "runLauncher: {type: K8sRunLaunchr}",
            "Helm refuses 'runLauncher.type': it is not one of ['K8sRunLauncher', 'CustomRunLauncher'];"
            " correct it",
        ),
        (
            "runLauncher: {type: CustomRunLauncher}",
            "Helm refuses 'runLauncher': 'config' is a required property; correct it",
        ),
        (
            "runLauncher: {type: K8sRunLauncher, tipe: K8sRunLauncher}",
            "the chart knows no key 'runLauncher.tipe', so Helm refuses the values; write 'runLauncher.type'",
        ),
    ],
)
def test_what_helm_refuses(tmp_path: pathlib.Path, text: str, line: str) -> None:
    """The chart's own schema judges it, before Helm does."""
    findings, _ = check(tmp_path, text, chart=write_chart(tmp_path / "chart"))
    assert findings == [f"0.yaml:1: {line}"]


@pytest.mark.parametrize(
    "files",
    [
        ("wrong: {a: 1}", "wrong: null"),
        ("dagsterDaemon: {wrong: 1}", "dagsterDaemon: {wrong: null}"),
        ("postgresql: {service: {annotations: {a: b}}, primary: {resources: {}}}",),
        ("shared: &shared {repository: a}\ndagsterDaemon: {image: *shared}",),
        ("version: &version '3'\ndagsterDaemon: {image: {tag: *version}}",),
    ],
)
def test_no_mistake(tmp_path: pathlib.Path, files: tuple[str, ...]) -> None:
    """What a later file deletes, a foreign subchart's own keys, and keys that only hold anchors."""
    findings, _ = check(tmp_path, *files, chart=write_chart(tmp_path / "chart"))
    assert findings == []


def write_umbrella(folder: pathlib.Path, *keys: str) -> pathlib.Path:
    """Write a chart that has Dagster's as a dependency, under these keys."""
    write_chart(folder / "charts" / "dagster")
    dependencies = "".join(f"  - {{name: dagster, alias: {key}}}\n" for key in keys)
    (folder / "Chart.yaml").write_text(f"name: platform\ndependencies:\n{dependencies}")
    return folder


@pytest.mark.parametrize("key", ["dagster", "orchestration"])
def test_an_umbrella_charts_values(tmp_path: pathlib.Path, key: str) -> None:
    """Dagster's values are below the name or alias of its chart; they are found by their keys or by the chart."""
    wrong = VALUES.replace("type: Custom", "type: Queued").replace("labels:", "labls:")
    text = f"other: {{a: 1}}\n{key}:\n{textwrap.indent(wrong, '  ')}"
    expected = (
        "0.yaml:9: 'dagsterDaemon.runCoordinator.type' is 'QueuedRunCoordinator', so customRunCoordinator is left"
        " out; write 'CustomRunCoordinator'"
    )
    below = f"all but '{key}' (0.yaml:2), the values of Dagster's chart"
    assert check(tmp_path, text) == ([expected], [below, NO_CHART])
    chart = write_umbrella(tmp_path / "chart", key)
    assert check(tmp_path, text, chart=chart) == ([expected], [below])
    assert check(tmp_path, text, f"{key}: {{dagsterWebServer: {{}}}}", chart=chart)[0][0].startswith(
        "1.yaml:1: the chart knows no key 'dagsterWebServer'"
    )


def test_several_of_dagsters_charts(tmp_path: pathlib.Path) -> None:
    """Each is checked, also where the values are part of a manifest such as Flux's or Argo CD's."""
    wrong = textwrap.indent(VALUES.replace("type: Custom", "type: Queued"), "    ")
    findings, _ = check(tmp_path, f"spec:\n  values:\n{wrong}  others:\n{wrong}")
    assert len(findings) == 2


def test_umbrella_values_for_dagsters_own_chart(tmp_path: pathlib.Path) -> None:
    """Helm ignores all of them then."""
    text = f"dagster:\n{textwrap.indent(VALUES, '  ')}"
    findings, _ = check(tmp_path, text, chart=write_chart(tmp_path / "chart"))
    assert findings == [
        "0.yaml:1: the chart knows no key 'dagster', so Helm ignores it; move what is in it to the top, or name"
        " with --chart the chart that depends on this one"
    ]


def test_a_chart_without_dagsters(tmp_path: pathlib.Path) -> None:
    """Nothing could be checked with it, so it is refused."""
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "Chart.yaml").write_text("name: platform\ndependencies: [{name: dagster}]\n")
    with pytest.raises(HelmInputError, match="nothing was checked; run `helm dependency build` there"):
        check(tmp_path, VALUES, chart=tmp_path / "chart")


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
