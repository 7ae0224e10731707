"""How values files and charts are read."""

import contextlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster_deploy_tools.chart import read_chart
from dagster_deploy_tools.check import findings_in_values
from dagster_deploy_tools.values import read_values
from dagster_deploy_tools.yaml_file import HelmInputError

from tools.tests.helm_files import NO_CHART, VALUES, check, write_chart

OTHERS_COORDINATOR = "coordinator, limits and images: the values don't name this package's coordinator"


def test_right_values(tmp_path: Path) -> None:
    """Right values give no finding, and without a chart the check of keys is named as skipped."""
    assert check(tmp_path, VALUES) == ([], [NO_CHART])
    assert check(tmp_path, VALUES, chart=write_chart(tmp_path / "chart")) == ([], [])


def test_others_coordinator(tmp_path: Path) -> None:
    """Values without our coordinator aren't judged by its rules, which is said; nothing checked is no success."""
    stock = "dagsterDaemon: {image: {tag: a}, runCoordinator: {type: QueuedRunCoordinator}}"
    custom = "dagsterDaemon: {runCoordinator: {config: {customRunCoordinator: {module: acme.runs, class: Runs}}}}"
    nothing = (
        "the values don't name this package's coordinator, so nothing was checked; name all of their files, or"
    )
    for text in (stock, custom):
        findings, skipped = check(tmp_path, "", text)
        assert (len(findings), skipped) == (1, [OTHERS_COORDINATOR, NO_CHART])
        assert findings[0].startswith(f"1.yaml: {nothing}")
        assert check(tmp_path, text, chart=write_chart(tmp_path / "chart")) == ([], [OTHERS_COORDINATOR])


@pytest.mark.parametrize("text", ["", "# nothing\n", "other: {chart: 1}\n", "deployments: [{name: a}]\n"])
def test_a_file_without_any_key_of_dagsters_chart(tmp_path: Path, text: str) -> None:
    """Nothing in it can be checked, so it is no success."""
    findings, _ = check(tmp_path, text)
    assert findings == [
        "0.yaml: the values have no key of Dagster's chart, so nothing was checked; name all of their files, or"
        " name the chart with --chart to have their keys checked"
    ]


def test_merged_as_helm_does(tmp_path: Path) -> None:
    """A later file wins, mappings merge, lists are replaced, and each place is the winning file's."""
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("a:\n  b: 1\n  c: 2\nlist:\n  - k: 1\n  - k: 2\n")
    second.write_text("\na:\n  c: 3\nlist:\n  - l: 4\n")
    values = read_values([first, second])
    assert values.data == {"a": {"b": 1, "c": 3}, "list": [{"l": 4}]}
    assert values.where("a", "b") == f"{first}:2"
    assert values.where("a", "c") == f"{second}:3"
    assert values.where("list", 1, "k") == f"{second}:4"
    assert values.where("nowhere") == str(second)


def test_key_written_twice(tmp_path: Path) -> None:
    """A key that a mapping holds twice is found, in lists and anchors too, but once; merge keys are none."""
    text = """\
        migrate: &shared
          enabled: true
          enabled: false
        extra:
          - <<: *shared
            enabled: true
          - name: a
            name: b
        again: *shared
        """
    findings, _ = check(tmp_path, VALUES, text)
    assert findings == [
        "1.yaml:3: 'migrate.enabled' is already written in line 2, and only the last of the two counts; keep one",
        "1.yaml:8: 'extra[1].name' is already written in line 7, and only the last of the two counts; keep one",
    ]


def _variants(value: Any) -> Iterator[Any]:
    """The value with one part of it replaced by each kind of thing that YAML can hold."""
    yield from (None, 7, "text", [], [None], {"a": {"b": [1]}})
    if isinstance(value, dict):
        for key, below in value.items():
            yield from ({**value, key: variant} for variant in _variants(below))
    if isinstance(value, list):
        for index, below in enumerate(value):
            yield from ([*value[:index], variant, *value[index + 1 :]] for variant in _variants(below))


def test_any_shape_is_judged(tmp_path: Path) -> None:
    """A value of the wrong kind, wherever it is, gives findings or an error of one line, never a traceback."""
    chart = write_chart(tmp_path / "chart")
    file = tmp_path / "values.yaml"
    for variant in _variants(yaml.safe_load(VALUES)):
        file.write_text(yaml.safe_dump(variant))
        with contextlib.suppress(HelmInputError):
            assert not [line for line in map(str, findings_in_values([file], chart).findings) if "\n" in line]


def test_chart_directory_and_archive(tmp_path: Path) -> None:
    """A chart reads the same from its directory, from its archive, and with archived subcharts."""

    def known(path: Path) -> object:
        chart = read_chart(path)
        return chart.name, chart.values, chart.schema, chart.dependencies, sorted(chart.subcharts)

    folder = write_chart(tmp_path / "dagster")
    archive = tmp_path / "dagster-1.0.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname="dagster")
    chart = known(folder)
    assert known(archive) == chart
    assert sorted(read_chart(folder).subcharts) == ["dagster-user-deployments", "postgresql"]
    subchart = folder / "charts" / "postgresql"
    with tarfile.open(folder / "charts" / "postgresql-8.1.0.tgz", "w:gz") as tar:
        tar.add(subchart, arcname="postgresql")
    for file in (subchart / "Chart.yaml", subchart / "values.yaml"):
        file.unlink()
    assert known(folder) == chart


def test_not_a_chart(tmp_path: Path) -> None:
    """A path that is no chart is refused in one line."""
    text = tmp_path / "values.yaml"
    text.write_text("a: 1\n")
    schema = write_chart(tmp_path / "chart") / "values.schema.json"
    schema.write_text("{")
    cure = "name its folder or archive"
    for path, message in (
        (tmp_path / "none.tgz", f"none.tgz: the chart can't be read: No such file or directory; {cure}"),
        (tmp_path, ": not a chart: it holds no Chart.yaml; name a chart's folder or archive"),
        (text, "values.yaml: not a chart: neither a folder nor a .tgz archive; name one"),
        (schema.parent, "chart/values.schema.json: not JSON: Expecting property name enclosed in double quotes:"
         " line 1 column 2 (char 1); correct it"),
    ):  # fmt: skip
        with pytest.raises(HelmInputError) as raised:
            read_chart(path)
        assert str(raised.value).replace(str(tmp_path), "").removeprefix(os.sep) == message
