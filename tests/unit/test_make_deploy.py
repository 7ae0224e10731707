"""`make deploy`, with stand-ins for the programs that it calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the Makefile, two overlays and programs that only note how they are called."""
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    for file in (
        "requirements/build.txt",
        "requirements/dev.txt",
        "deploy/overlays/logs/values.yaml",
        "deploy/overlays/priority/values.yaml",
        "deploy/overlays/priority/manifests/classes.yaml",
        "deploy/overlays/system-priority/post-renderer",
        "deploy/overlays/standby/post-renderer",
        "deploy/overlays/teams/namespaces/billing.yaml",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for program in (".venv/bin/dagster-clt", "bin/helm", "bin/kubectl", "deploy/overlays/teams/after-helm"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text(STAND_IN)
        (tmp_path / program).chmod(0o755)
    (tmp_path / ".venv/.made").touch()
    (tmp_path / "chart").mkdir()
    return tmp_path


def deploy(clone: Path, *variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run it; its answer and the calls that it made."""
    calls = clone / "calls"
    answer = subprocess.run(
        ["make", "deploy", "CHART=./chart", *variables],
        cwd=clone,
        env={**os.environ, "PATH": f"{clone}/bin:{os.environ['PATH']}", "CALLS": str(calls), "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return answer, calls.read_text().splitlines() if calls.exists() else []


def test_overlays_are_checked_then_applied_then_installed(clone: Path) -> None:
    """Their values go after the deployment's, in the order in which they are named; their manifests go first."""
    answer, calls = deploy(clone, "OVERLAYS=priority logs", "NAMESPACE=here")
    assert answer.returncode == 0, answer.stderr
    values = (
        "--values deploy/values.yaml --values deploy/overlays/priority/values.yaml"
        " --values deploy/overlays/logs/values.yaml"
    )
    assert calls == [
        f"dagster-clt check {values} --chart ./chart",
        "kubectl get namespace here --output name",
        "kubectl --namespace here apply --filename deploy/overlays/priority/manifests",
        f"helm upgrade --install dagster ./chart --namespace here {values} --wait --timeout 10m",
    ]


def test_a_chart_by_name_is_pulled_to_check_and_install_the_same_one(clone: Path) -> None:
    """The version that a name stands for may be another one a moment later."""
    (clone / "bin/helm").write_text(
        STAND_IN + 'test "$1" != pull || { mkdir -p dist/chart; touch dist/chart/a.tgz; }\n'
    )
    answer, calls = deploy(clone, "CHART=dagster/dagster", "CHART_VERSION=1.12.19")
    assert answer.returncode == 0, answer.stderr
    assert calls[0] == "helm pull dagster/dagster --destination dist/chart --version 1.12.19"
    assert calls[1].endswith("--chart dist/chart/a.tgz")
    assert calls[-1].startswith("helm upgrade --install dagster dist/chart/a.tgz ")


def test_a_version_that_the_check_would_not_know_of_is_refused(clone: Path) -> None:
    """Helm takes no other version than that of the archive which was pulled."""
    answer, calls = deploy(clone, "HELM_OPTIONS=--version 1.12.19")
    assert answer.returncode != 0
    assert "give the chart's version as CHART_VERSION=..." in answer.stderr
    assert calls == []


def test_an_unknown_overlay_changes_nothing(clone: Path) -> None:
    """Make skips a file that isn't there, so a misspelt overlay would go unnoticed."""
    answer, calls = deploy(clone, "OVERLAYS=priority log")
    assert answer.returncode != 0
    assert "there is no overlay log: see deploy/overlays/README.md" in answer.stderr
    assert calls == []


def test_a_post_renderer_is_handed_to_helm(clone: Path) -> None:
    """By the path of a program that runs it; Helm looks a bare name up in the PATH."""
    _, calls = deploy(clone, "OVERLAYS=priority system-priority standby")
    assert "--post-renderer ./dist/post-renderer --wait" in calls[-1]
    programs = [f"./deploy/overlays/{overlay}/post-renderer" for overlay in ("system-priority", "standby")]
    assert (clone / "dist/post-renderer").read_text().splitlines()[-1] == " | ".join(programs)


def test_namespaces_of_their_own_making_are_not_renamed(clone: Path) -> None:
    """Kubectl refuses --namespace for an object that names another one."""
    _, calls = deploy(clone, "OVERLAYS=teams")
    assert "kubectl apply --filename deploy/overlays/teams/namespaces" in calls


def test_what_follows_the_release_is_told_the_namespace(clone: Path) -> None:
    """An overlay may have a program that is to run when Helm is done."""
    _, calls = deploy(clone, "OVERLAYS=teams", "NAMESPACE=here")
    assert calls[-2].startswith("helm upgrade")
    assert calls[-1] == "after-helm here"


def test_the_namespace_is_made_where_it_is_missing(clone: Path) -> None:
    """The manifests need it before Helm would make it."""
    (clone / "bin/kubectl").write_text(STAND_IN + 'test "$1" != get\n')
    _, calls = deploy(clone, "NAMESPACE=here")
    assert "kubectl create namespace here" in calls
