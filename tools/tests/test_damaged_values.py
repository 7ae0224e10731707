"""Helm values that are damaged, or no values at all."""

from pathlib import Path

import pytest
from dagster_deploy_tools.check import findings_in_values
from dagster_deploy_tools.yaml_file import HelmInputError
from harness.system import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.strategies import damaged
from tests.fuzz.tried import TRIED

from tools.tests.helm_files import VALUES, write_chart

SHIPPED = (ROOT / "deploy" / "values.yaml").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small chart in it."""
    folder = tmp_path_factory.mktemp("helm")
    write_chart(folder / "chart")
    return folder


@pytest.mark.timeout(1800)
@settings(max_examples=1000)
@given(
    content=damaged(VALUES.encode())
    | damaged(SHIPPED)
    | st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_damaged_values(folder: Path, content: bytes) -> None:
    """They give findings or an error, each of one line, never a traceback."""
    TRIED["Helm values"] += 1
    file = folder / "values.yaml"
    file.write_bytes(content)
    try:
        lines = [str(finding) for finding in findings_in_values([file], folder / "chart").findings]
    except HelmInputError as error:
        lines = [str(error)]
    assert not [line for line in lines if "\n" in line]
