"""Images in Helm values."""

from pathlib import Path

import pytest

from tools.tests.helm_files import NO_CHART, VALUES, check, options, write_chart

DEPLOYMENTS = "dagster-user-deployments:\n  deployments:\n"
A = "    - {name: code-location-a, image: {repository: registry.example/code-location-a, tag: '2.0.0'}}\n"
B = "    - {name: code-location-b, image: {repository: registry.example/code-location-b, tag: '2.0.1'}}\n"
STOCK = "    - {name: code-location-b, image: {repository: dagster/user-code-example, tag: '2.0.0'}}\n"
UNSET = "    - {name: code-location-b}\n"


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        (
            "dagsterWebserver: {image: {tag: 2.0.1}}",
            "1.yaml:1: the webserver's image registry.example/system:2.0.1 is not the daemon's"
            " registry.example/system:2.0.0; write the same tag and digest for both, which load one coordinator",
        ),
        (
            "dagsterWebserver:\n  image: {digest: 'sha256:1'}",
            "1.yaml:2: the webserver's image registry.example/system@sha256:1 is not the daemon's"
            " registry.example/system:2.0.0; write the same tag and digest for both, which load one coordinator",
        ),
        (
            "dagsterWebserver:\n  image:\n    repository: docker.io/dagster/dagster-celery-k8s",
            "1.yaml:3: 'dagsterWebserver.image.repository' is Dagster's own image"
            " docker.io/dagster/dagster-celery-k8s, which lacks the coordinator;"
            " write the repository of an image that holds it",
        ),
        (
            "dagsterWebserver:\n  image: null",
            "1.yaml:2: 'dagsterWebserver.image.repository' is not set, so it is the chart's own image, which lacks"
            " the coordinator; write the repository of an image that holds it",
        ),
        (
            DEPLOYMENTS + A + STOCK,
            "1.yaml:4: 'dagster-user-deployments.deployments[1].image.repository' is Dagster's own image"
            " dagster/user-code-example, which lacks the coordinator;"
            " write the repository of an image that holds it",
        ),
        (
            DEPLOYMENTS + A + UNSET,
            "1.yaml:4: 'dagster-user-deployments.deployments[1].image.repository' is not set, so it is the chart's"
            " own image, which lacks the coordinator; write the repository of an image that holds it",
        ),
    ],
)  # fmt: skip
def test_finding(tmp_path: Path, overlay: str, line: str) -> None:
    """An image without the coordinator, or one that differs from what it must agree with, is one line."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == [line]


@pytest.mark.parametrize(
    "repository",
    [
        "dagster/dagster-k8s",
        "docker.io/dagster/dagster-cloud-agent",
        "mirror.example/dagster/dagster-k8s",
        "mirror.example:5000/hub/dagster/dagster-celery-k8s",
        "mirror.example/dagster-celery-k8s",
        "mirror.example/dagster/user-code-example",
        "dagster/dagster-k8s:1.12.19",
    ],
)
def test_stock_images_by_any_way(tmp_path: Path, repository: str) -> None:
    """Dagster's own images lack the coordinator wherever they are pulled from."""
    findings, _ = check(tmp_path, VALUES, f"dagsterDaemon: {{image: {{repository: '{repository}'}}}}")
    assert [line.partition(",")[0] for line in findings] == [
        f"1.yaml:1: 'dagsterDaemon.image.repository' is Dagster's own image {repository}"
    ]


def test_the_charts_example_where_no_deployment_is_written(tmp_path: Path) -> None:
    """The chart deploys its example then, whose runs could not load the coordinator."""
    without = VALUES[: VALUES.index("dagster-user-deployments")].replace("code_location, value", "team, value")
    findings, _ = check(tmp_path, without)
    assert [line.partition(",")[0] for line in findings] == [
        "0.yaml: 'dagster-user-deployments.deployments' is not written"
    ]
    assert check(tmp_path, without, "dagster-user-deployments: {enableSubchart: false}")[0] == []
    assert check(tmp_path, without, "dagster-user-deployments: {deployments: []}")[0] == []


def test_the_webservers_old_name(tmp_path: Path) -> None:
    """The chart merges `dagit` over `dagsterWebserver`, but for what is empty in it."""
    findings, _ = check(tmp_path, VALUES, "dagit:\n  image:\n    repository: dagster/dagster-k8s")
    assert findings == [
        "1.yaml:3: 'dagsterWebserver.image.repository' is Dagster's own image dagster/dagster-k8s, which lacks the"
        " coordinator; write the repository of an image that holds it"
    ]
    assert check(tmp_path, VALUES, "dagit: {image: {repository: ''}, replicaCount: 2}")[0] == []
    renamed = VALUES.replace("dagsterWebserver:", "dagit:")
    assert check(tmp_path, renamed, chart=write_chart(tmp_path / "chart")) == ([], [])
    assert check(tmp_path, VALUES, "dagit: {image: {repository: dagster/dagster-k8s}}", "dagit: null")[0] == []


def test_images_of_two_names(tmp_path: Path) -> None:
    """The webserver and the daemon may have images of their own; one version is what counts."""
    other = "dagsterWebserver: {image: {repository: registry.example/webserver, tag: '%s'}}"
    assert check(tmp_path, VALUES, other % "2.0.0")[0] == []
    assert len(check(tmp_path, VALUES, other % "2.0.1")[0]) == 1


def test_many_code_locations_with_tags_of_their_own(tmp_path: Path) -> None:
    """Twelve teams that release on their own rhythm are right, given as a list or as a map."""
    names = [f"team-{number}" for number in range(12)]
    entries = [
        f"{{name: {name}, image: {{repository: registry.example/{name}, tag: '{number}'}}, port: 3030}}"
        for number, name in enumerate(names)
    ]
    limits = options(
        f"tag_concurrency_limits: null\nmax_concurrent_runs: 12\ncode_location_limits: {{locations: "
        f"{{{', '.join(f'{name}: 1' for name in names)}}}}}"
    )
    a_list = f"dagster-user-deployments: {{deployments: [{', '.join(entries)}]}}"
    assert check(tmp_path, VALUES, limits, a_list) == ([], [NO_CHART])
    as_map = ", ".join(f"{name}: {entry}" for name, entry in zip(names, entries, strict=True))
    without = VALUES[: VALUES.index("dagster-user-deployments")]
    a_map = f"dagster-user-deployments: {{deployments: {{{as_map}}}}}"
    assert check(tmp_path, without, limits, a_map) == ([], [NO_CHART])


@pytest.mark.parametrize(
    "overlay",
    [
        DEPLOYMENTS + A + B,
        DEPLOYMENTS + A + STOCK + "  enableSubchart: false",
        "dagsterDaemon: {image: {digest: 'sha256:1'}}\ndagsterWebserver: {image: {digest: 'sha256:1'}}",
        "dagsterWebserver: {image: {pullPolicy: Always}}",
    ],
)
def test_right_images(tmp_path: Path, overlay: str) -> None:
    """Code locations with tags of their own, other releases' images, and digests and pull policies are right."""
    findings, _ = check(tmp_path, VALUES, overlay)
    assert findings == []
