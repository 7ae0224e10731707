"""How values files and charts are read."""

import contextlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from clt_queued_run_coordinator.helm.chart import read_chart
from clt_queued_run_coordinator.helm.check import findings_in_values
from clt_queued_run_coordinator.helm.values import read_values
from clt_queued_run_coordinator.helm.yaml import HelmInputError

from tests.unit.helm_files import NO_CHART, VALUES, check, write_chart

OTHERS_COORDINATOR = "coordinator, limits and images: the values don't name this package's coordinator"


def test_right_values(tmp_path: Path) -> None:
    """Right values give no finding, and without a chart the check of keys is named as skipped."""
    assert check(tmp_path, VALUES) == ([], [NO_CHART])
    assert check(tmp_path, VALUES, chart=write_chart(tmp_path / "chart")) == ([], [])


def test_others_coordinator(tmp_path: Path) -> None:
    """Values without our coordinator aren't judged by its rules, which is said."""
    stock = "dagsterDaemon: {image: {tag: a}, runCoordinator: {type: QueuedRunCoordinator}}"
    assert check(tmp_path, "", stock) == ([], [NO_CHART, OTHERS_COORDINATOR])
    custom = "dagsterDaemon: {runCoordinator: {config: {customRunCoordinator: {module: acme.runs, class: Runs}}}}"
    assert check(tmp_path, custom) == ([], [NO_CHART, OTHERS_COORDINATOR])


def test_merged_as_helm_does(tmp_path: Path) -> None:
    """A later file wins, mappings merge, lists are replaced, and each place is the winning file's."""
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("a:\n  b: 1\n  c: 2\nlist:\n  - x: 1\n  - x: 2\n")
    second.write_text("\na:\n  c: 3\nlist:\n  - y: 4\n")
    values = read_values([first, second])
    assert values.data == {"a": {"b": 1, "c": 3}, "list": [{"y": 4}]}
    assert values.where("a", "b") == f"{first}:2"
    assert values.where("a", "c") == f"{second}:3"
    assert values.where("list", 1, "x") == f"{second}:4"
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
    findings, _ = check(tmp_path, text)
    assert findings == [
        "0.yaml:3: 'migrate.enabled' is already written in line 2, and only the last of the two counts; keep one",
        "0.yaml:8: 'extra[1].name' is already written in line 7, and only the last of the two counts; keep one",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\n", "values.yaml:2: not YAML: while parsing a flow sequence,"
         " expected ',' or ']', but got '<stream end>'"),
        ("- a\n", "values.yaml: not a mapping of keys to values; Helm values begin with keys"),
        ("a: 1\n---\nb: 2\n", "values.yaml:2: not YAML: expected a single document in the stream,"
         " but found another document"),
        ("a: !unknown 1\n", "values.yaml:1: not YAML: could not determine a constructor for the tag '!unknown'"),
        ("a: &a [*a]\n", "values.yaml:1: not YAML: a value contains itself"),
        ("a: \x07\n", "values.yaml: not YAML: unacceptable character #x0007: special characters are not allowed in"
         ' "<unicode string>", position 3'),
        ("a: 2020-99-99\n", "values.yaml: not YAML: month must be in 1..12"),
    ],
)  # fmt: skip
def test_not_values(tmp_path: Path, text: str, message: str) -> None:
    """A file that holds no values is refused in one line with its place."""
    file = tmp_path / "values.yaml"
    file.write_text(text)
    with pytest.raises(HelmInputError) as raised:
        findings_in_values([file], None)
    assert str(raised.value).replace(f"{tmp_path}/", "") == message


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that isn't there, a folder and a binary file are refused in one line."""
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for file, cause in (
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "not a text file in UTF-8"),
    ):
        with pytest.raises(HelmInputError) as raised:
            read_values([file])
        assert str(raised.value) == f"{file}: can't be read: {cause}"


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
    folder = write_chart(tmp_path / "dagster")
    archive = tmp_path / "dagster-1.0.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname="dagster")
    chart = read_chart(folder)
    assert read_chart(archive) == chart
    assert sorted(chart.subcharts) == ["dagster-user-deployments", "postgresql"]
    subchart = folder / "charts" / "postgresql"
    with tarfile.open(folder / "charts" / "postgresql-8.1.0.tgz", "w:gz") as tar:
        tar.add(subchart, arcname="postgresql")
    for file in (subchart / "Chart.yaml", subchart / "values.schema.json"):
        file.unlink()
    assert read_chart(folder) == chart


def test_not_a_chart(tmp_path: Path) -> None:
    """A path that is no chart is refused in one line."""
    text = tmp_path / "values.yaml"
    text.write_text("a: 1\n")
    schema = write_chart(tmp_path / "chart") / "values.schema.json"
    schema.write_text("{")
    for path, message in (
        (tmp_path / "none.tgz", "none.tgz: the chart can't be read: No such file or directory"),
        (tmp_path, ": not a chart: it holds no Chart.yaml"),
        (text, "values.yaml: not a chart: neither a directory nor a .tgz archive"),
        (schema.parent, "chart/values.schema.json: not JSON: Expecting property name enclosed in double quotes:"
         " line 1 column 2 (char 1)"),
    ):  # fmt: skip
        with pytest.raises(HelmInputError) as raised:
            read_chart(path)
        assert str(raised.value).replace(str(tmp_path), "").removeprefix(os.sep) == message
