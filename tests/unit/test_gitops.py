"""What Argo CD and Flux deploy is what `make deploy` does; neither runs here."""

from pathlib import Path
from typing import Any

import yaml
from dagster_k8s.utils import get_common_labels

ROOT = Path(__file__).parents[2]
GITOPS = ROOT / "deploy" / "gitops"
RELEASE = GITOPS / "flux" / "release"


def objects(file: Path) -> dict[str, dict[str, Any]]:
    """The objects of a file, by their kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(file.read_text())}


def application() -> dict[str, Any]:
    """Argo CD's Application."""
    return objects(GITOPS / "argo-cd" / "application.yaml")["Application"]


def helm_source() -> dict[str, Any]:
    """The source of the Application that is a chart."""
    (found,) = [source for source in application()["spec"]["sources"] if "chart" in source]
    return dict(found)


def helm_release() -> dict[str, Any]:
    """Flux' HelmRelease."""
    found: dict[str, Any] = objects(RELEASE / "release.yaml")["HelmRelease"]["spec"]
    return found


def generated() -> dict[str, Path]:
    """The files of the ConfigMap that holds the values, by their keys."""
    (config_map,) = objects(RELEASE / "kustomization.yaml")["Kustomization"]["configMapGenerator"]
    pairs = [each.split("=") for each in config_map["files"]]
    return {key: (RELEASE / file).resolve() for key, file in pairs}


def test_both_deploy_the_same_values_of_the_same_chart() -> None:
    """In the same order, under the release's name, which the values and other names depend on."""
    argo_cd, flux = helm_source(), helm_release()
    files = [ROOT / file.removeprefix("$values/") for file in argo_cd["helm"]["valueFiles"]]
    assert files[0] == ROOT / "deploy" / "values.yaml"
    assert all(file.is_file() for file in files)
    assert [generated()[each["valuesKey"]] for each in flux["valuesFrom"]] == files
    chart = flux["chart"]["spec"]
    assert (argo_cd["chart"], argo_cd["targetRevision"]) == (chart["chart"], chart["version"])
    assert argo_cd["helm"]["releaseName"] == flux["releaseName"] == "dagster"


def test_the_manifests_of_the_overlays_go_with_their_values() -> None:
    """Argo CD gets the folder, Flux each file of it."""
    overlays = {file.parent for file in generated().values() if file.parent.parent.name == "overlays"}
    folders = {ROOT / source["path"] for source in application()["spec"]["sources"] if "path" in source}
    assert folders == {overlay / "manifests" for overlay in overlays}
    resources = objects(RELEASE / "kustomization.yaml")["Kustomization"]["resources"]
    files = {(RELEASE / file).resolve() for file in resources} - {RELEASE / "release.yaml"}
    assert files == {file for folder in folders for file in folder.glob("*.yaml")}


def test_argo_cd_does_not_take_runs_for_its_own() -> None:
    """Where it goes by the label of the instance, it deletes what has its Application's name there."""
    labels = get_common_labels()  # type: ignore[no-untyped-call]
    assert application()["metadata"]["name"] != labels["app.kubernetes.io/instance"]


def test_flux_follows_its_own_files() -> None:
    """The Kustomization names the folder, and each source that is named exists; the ConfigMap is watched."""
    synced = objects(GITOPS / "flux" / "sync.yaml")
    assert ROOT / synced["Kustomization"]["spec"]["path"] == RELEASE
    for source in (synced["Kustomization"]["spec"]["sourceRef"], helm_release()["chart"]["spec"]["sourceRef"]):
        assert synced[source["kind"]]["metadata"]["name"] == source["name"]
    kustomization = objects(RELEASE / "kustomization.yaml")["Kustomization"]
    assert kustomization["generatorOptions"]["labels"] == {"reconcile.fluxcd.io/watch": "Enabled"}
    (config_map,) = kustomization["configMapGenerator"]
    assert {each["name"] for each in helm_release()["valuesFrom"]} == {config_map["name"]}
