"""Helm values that are damaged, or no values at all."""

from contextlib import suppress
from pathlib import Path

import pytest
from dagster_deploy_tools.check import findings_in_values
from dagster_deploy_tools.move import moved
from dagster_deploy_tools.yaml_file import HelmInputError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.tests.helm_files import VALUES, write_chart

SHIPPED = (Path(__file__).parents[2] / "deploy" / "values.yaml").read_bytes()


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with some of its bytes left out, doubled or replaced."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content) - 1))
        end = start + draw(st.integers(0, 12))
        content[start:end] = draw(
            st.sampled_from([b"", bytes(content[start:end]) * 2])
            | st.binary(max_size=6)
            | st.text("-:{}[]&*!|>'\"%@`#?, \n\t019.eE~<", max_size=6).map(str.encode)
        )
    return bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small chart in it."""
    folder = tmp_path_factory.mktemp("helm")
    write_chart(folder / "chart")
    return folder


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=damaged(VALUES.encode())
    | damaged(SHIPPED)
    | st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_damaged_values(folder: Path, content: bytes) -> None:
    """They give findings or an error, each of one line, never a traceback."""
    file = folder / "values.yaml"
    file.write_bytes(content)
    try:
        lines = [str(finding) for finding in findings_in_values([file], folder / "chart").findings]
    except HelmInputError as error:
        lines = [str(error)]
    assert not [line for line in lines if "\n" in line]


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(content=damaged(VALUES.replace("CustomRunCoordinator", "QueuedRunCoordinator", 1).encode()))
def test_damaged_values_are_moved_or_refused(folder: Path, content: bytes) -> None:
    """What is written into them is there a second time, and nothing else of them is lost."""
    file = folder / "values.yaml"
    file.write_bytes(content)
    with suppress(HelmInputError):
        after = moved(file, "dagster").after
        file.write_text(after)
        assert moved(file, "dagster").after == after
