"""`dagster-clt` with any arguments, and on any dagster.yaml."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from clt_queued_run_coordinator.cli import main
from harness.system import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.strategies import damaged
from tests.fuzz.tried import TRIED
from tests.run_queue import MODULE
from tests.runner import new_runner

COORDINATOR = {
    "run_coordinator": {
        "module": MODULE,
        "class": "CLTQueuedRunCoordinator",
        "config": {"max_concurrent_runs": 5, "code_location_limits": {"default": 2, "sharing": "fair"}},
    },
    "telemetry": {"enabled": False},
}
# `metrics` and `status --watch` are to run for ever, so they get no arguments that let them begin.
COMMANDS = [
    "status",
    "set-limit",
    "clear-limit",
    "pause",
    "resume",
    "drain",
    "explain",
    "history",
    "prioritize",
    "check",
    "probe",
    "",
]
OPTIONS = [
    "--force",
    "--all",
    "--fix",
    "--values",
    "--chart",
    "--workspace",
    "--output",
    "json",
    "--interval",
    "--backfill",
    "--job",
    "--location",
    "--for",
    "--until",
    "--reason",
    "--by",
    "--timeout",
    "--limit",
    "--help",
    "--",
    "-1",
]
words = (
    st.sampled_from(
        [
            *OPTIONS,
            "code-location-a",
            "*",
            "0",
            "3",
            "1s",
            "2999-01-01T00:00Z",
            str(2**70),
            "inf",
            "nan",
            "\udcff",
            "/",
            ".",
            "values.yaml",
        ]
    )
    | st.integers().map(str)
    | st.text(st.characters(exclude_characters="\x00"), max_size=8)
)
arguments = st.builds(
    lambda command, rest: [command, *rest], st.sampled_from(COMMANDS), st.lists(words, max_size=4)
) | st.builds(
    lambda port: ["metrics", "--port", port], st.text(st.characters(exclude_categories=["Nd", "Cs"]), max_size=4)
)
hosts = st.sampled_from(["a" * 64, "a..b", "256.0.0.1", "::1x", "\x1b[31m", "ü" * 64, "\udcff"])
homes = st.sampled_from(["", "~", "~nobody-of-this-name", "/" + "x" * 300, "x" * 5000, "/dev/null", ".", "\udcff"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A DAGSTER_HOME on SQLite, in the current folder, where no workspace is."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def run(home: Path | str, *given: str) -> str:
    """Run a command; it must end with an exit code of its own. Returns what it wrote."""
    result = new_runner().invoke(main, list(given), env={"DAGSTER_HOME": str(home)})
    assert result.exception is None or isinstance(result.exception, SystemExit), (given, result.exception)
    assert result.exit_code in {0, 1, 2}
    assert "Traceback" not in result.output
    assert "This is a bug" not in result.output, (given, result.output)
    return result.output


pytestmark = pytest.mark.timeout(1800)


@settings(max_examples=300)
@given(given=arguments)
def test_any_arguments(home: Path, given: list[str]) -> None:
    """They are taken, refused (1) or wrong usage (2); never a traceback."""
    TRIED["arguments of the command line"] += 1
    (home / "dagster.yaml").write_text(yaml.safe_dump(COORDINATOR))
    run(home, *given)


@settings(max_examples=300)
@given(content=damaged(yaml.safe_dump(COORDINATOR).encode()) | damaged((ROOT / "dagster.yaml").read_bytes()))
def test_any_dagster_yaml(home: Path, content: bytes) -> None:
    """The probe loads it or says in one line why not."""
    TRIED["dagster.yaml"] += 1
    (home / "dagster.yaml").write_bytes(content)
    assert len(run(home, "probe").splitlines()) == 1


@given(given=homes)
def test_any_dagster_home(given: str) -> None:
    """It holds an instance or is refused in one line."""
    TRIED["DAGSTER_HOME"] += 1
    assert len(run(given, "probe").splitlines()) == 1


@given(given=hosts)
def test_any_host(home: Path, given: str) -> None:
    """One that can't be listened on is refused."""
    TRIED["hosts of the metrics"] += 1
    (home / "dagster.yaml").write_text(yaml.safe_dump(COORDINATOR))
    assert run(home, "metrics", "--host", given).startswith(("Error: Can't listen on", "Usage: "))
