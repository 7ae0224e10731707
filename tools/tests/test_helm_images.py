"""Images in Helm values."""

from pathlib import Path

import pytest

from tools.tests.helm_files import VALUES, check

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
