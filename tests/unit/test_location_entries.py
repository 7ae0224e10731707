"""A code location's entries come into the files that people write, and out again; nothing else changes."""

from pathlib import Path

import pytest
import yaml

from scripts.location_entries import (
    with_deployment,
    with_project,
    with_workspace_entry,
    without_deployment,
    without_limit,
    without_project,
    without_workspace_entry,
)
from scripts.location_name import FOLDER, LocationError, check_name
from scripts.remove_location import LIMITS

ROOT = Path(__file__).parents[2]
VALUES = (ROOT / "deploy" / "values.yaml").read_text()
WORKSPACE = (ROOT / "workspace.yaml").read_text()
PROJECTS = (ROOT / "dg.toml").read_text()


def test_what_is_added_can_be_removed_again() -> None:
    """Adding and removing a code location gives back each file as it was."""
    assert without_deployment(with_deployment(VALUES, "tried-billing"), "tried-billing") == VALUES
    assert without_workspace_entry(with_workspace_entry(WORKSPACE, "tried-billing"), "tried-billing") == WORKSPACE
    assert without_project(with_project(PROJECTS, "tried-billing"), "tried-billing") == PROJECTS


def test_a_deployment_is_added_without_touching_another_line() -> None:
    """The new lines stand together, and no other line differs."""
    before, after = VALUES.splitlines(), with_deployment(VALUES, "tried-billing-reports").splitlines()
    first = before.index("runLauncher:") - 1
    added = len(after) - len(before)
    assert after[:first] + after[first + added :] == before
    assert after[first].strip() == "- name: tried-billing-reports"


def test_a_deployment_has_what_the_others_have() -> None:
    """The new user deployment differs from the others by its names alone."""
    values = yaml.safe_load(with_deployment(VALUES, "tried-billing-reports"))
    *_, other, new = values["dagster-user-deployments"]["deployments"]
    assert new["dagsterApiGrpcArgs"] == ["--module-name", "tried_billing_reports.definitions"]
    assert new["image"] == {
        **other["image"],
        "repository": other["image"]["repository"].replace(other["name"], "tried-billing-reports"),
    }
    names = {"name", "image", "dagsterApiGrpcArgs"}
    assert {k: v for k, v in new.items() if k not in names} == {k: v for k, v in other.items() if k not in names}


def test_what_all_deployments_share_outlives_the_one_that_holds_it() -> None:
    """The deployment with the anchor can be removed; the next one has the same content as before."""
    text = with_deployment(VALUES, "tried-billing")
    first, second, *_ = yaml.safe_load(text)["dagster-user-deployments"]["deployments"]
    left = yaml.safe_load(without_deployment(text, first["name"]))["dagster-user-deployments"]["deployments"]
    assert left[0] == second


def test_the_last_deployment_stays() -> None:
    """Removing every code location would leave a file that no other one can be added to."""
    text = "load_from:\n  - python_module:\n      module_name: a.definitions\n      location_name: a\n"
    with pytest.raises(LocationError, match="it is the only code location"):
        without_workspace_entry(text, "a")


def test_comments_stay_with_the_entry_that_they_belong_to() -> None:
    """A comment inside an entry goes with it; one before the next entry stays."""
    text = (
        "load_from:\n"
        "  - python_module:\n"
        "      location_name: a\n"
        "      # of a\n"
        "\n"
        "  # of b\n"
        "  - python_module:\n"
        "      location_name: b\n"
        "      # of b\n"
        "# at the end\n"
    )
    assert without_workspace_entry(text, "a") == (
        "load_from:\n\n  # of b\n  - python_module:\n      location_name: b\n      # of b\n# at the end\n"
    )
    assert with_workspace_entry(text, "c") == text.replace(
        "# at the end\n",
        "  - python_module:\n      module_name: c.definitions\n      location_name: c\n# at the end\n",
    )


def test_limits_of_a_removed_code_location_go() -> None:
    """Its line goes from each file that has one; without any limit left the mapping is an empty one."""
    for file, path in LIMITS.items():
        text = (ROOT / file).read_text()
        for name in (folder.name for folder in (ROOT / FOLDER).iterdir()):
            text = without_limit(text, path, name)
        value = yaml.safe_load(text)
        for key in path:
            value = value[key]
        assert value == {}, file


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "a name is missing: make new-location NAME=billing"),
        ("Billing", "use lower-case letters"),
        ("billing reports", "use lower-case letters"),
        ("billing_reports", "use lower-case letters"),
        ("../billing", "use lower-case letters"),
        ("1st", "begin with a letter"),
        ("b" * 64, "at most 63 characters"),
        ("class", "a keyword of Python"),
        ("on", "YAML reads it as True"),
        ("json", "there is a module 'json'"),
        ("scripts", "there is a module 'scripts'"),
        ("pyyaml", "an installed package has that name"),
        ("dagster-postgresql", "a part of the deployment has that name"),
        ("dagster-k8s", "there is a module 'dagster_k8s'"),
        ("system", "the image of the daemon and the webserver"),
    ],
)
def test_a_name_that_would_not_work_is_refused(name: str, reason: str) -> None:
    """The message says in one line what is wrong with the name."""
    with pytest.raises(LocationError) as refused:
        check_name(ROOT, name)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_in_use_is_refused() -> None:
    """The message names the folder."""
    name = next(file.parent.name for file in (ROOT / FOLDER).glob("*/pyproject.toml"))
    with pytest.raises(LocationError, match=f"code_locations/{name} exists"):
        check_name(ROOT, name)


@pytest.mark.parametrize("name", ["tried-billing-reports-2", "dagster-billing"])
def test_an_ordinary_name_is_accepted(name: str) -> None:
    """Hyphens and digits are fine, and so is a name that begins as Dagster's own packages do."""
    check_name(ROOT, name)


def test_the_containers_of_the_deployment_keep_their_names() -> None:
    """A code location with the name of another service of compose.yaml would take its place."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in services.keys() - {folder.name for folder in (ROOT / FOLDER).iterdir()}:
        with pytest.raises(LocationError, match="a part of the deployment has that name"):
            check_name(ROOT, name)
