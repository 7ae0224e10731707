"""`dagster-clt values`: a company's values moved to this package's coordinator."""

import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from clt_queued_run_coordinator.cli import main

from tools.tests.helm_files import VALUES, check

COMPANY = """\
# Values of ACME
x-image: &image
  repository: registry.acme.example/dagster
  tag: "42"

dagsterWebserver:
    image: *image
    startupProbe:
        enabled: false   # as the chart has it
    service: {port: 8080}

# The daemon
dagsterDaemon:
  image: *image
  runCoordinator:
    enabled: true
    type: QueuedRunCoordinator
    config:
      queuedRunCoordinator:
        maxConcurrentRuns: 25
        tagConcurrencyLimits: [{key: team, value: sales, limit: 3}]

# Code
dagster-user-deployments:
  deployments:
    - name: sales
      image: {repository: registry.acme.example/sales, tag: v7}
      port: 3030
      volumes: &volumes
        - name: tmp
          emptyDir: {}
    - name: ops   # the other one
      image: {repository: registry.acme.example/ops, tag: v2}
      port: 4000
      volumes: *volumes

# Nothing is sent
telemetry: {enabled: false}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def values(text: str, *options: str) -> Result:
    """Run the command on a file with this text."""
    Path("my.yaml").write_bytes(textwrap.dedent(text).encode())
    return CliRunner().invoke(main, ["values", "my.yaml", *options])


def written(text: str, *options: str) -> dict[str, Any]:
    """What the file says after the command has written it."""
    values(text, "--write", *options)
    data: dict[str, Any] = yaml.safe_load(Path("my.yaml").read_text())
    return data


def test_what_is_missing_is_shown_and_nothing_written() -> None:
    """The lines that begin with + are new, and of the others only a disabled probe and the type are taken out."""
    result = values(COMPANY)
    assert result.exit_code == 0
    taken_out = [line[1:].strip() for line in result.stdout.splitlines() if line.startswith("-")][1:]
    disabled = ["startupProbe:", "enabled: false   # as the chart has it"]
    assert taken_out == [*disabled, "type: QueuedRunCoordinator", "volumes: *volumes"]
    assert Path("my.yaml").read_text() == COMPANY


def test_the_options_of_dagsters_coordinator_are_taken_over() -> None:
    """With what the chart gives it by default, which a custom coordinator doesn't get."""
    coordinator = written(COMPANY)["dagsterDaemon"]["runCoordinator"]
    assert coordinator["type"] == "CustomRunCoordinator"
    assert coordinator["config"]["customRunCoordinator"] == {
        "module": "clt_queued_run_coordinator.coordinator",
        "class": "CLTQueuedRunCoordinator",
        "config": {
            "max_concurrent_runs": 25,
            "dequeue_use_threads": True,
            "dequeue_num_workers": 4,
            "tag_concurrency_limits": [{"key": "team", "value": "sales", "limit": 3}],
        },
    }


def test_without_a_coordinator_the_charts_own_defaults_hold_on() -> None:
    """No limit on all runs, and four threads."""
    coordinator = written("dagsterDaemon: {}\n")["dagsterDaemon"]["runCoordinator"]
    assert coordinator["config"]["customRunCoordinator"]["config"] == {
        "max_concurrent_runs": -1,
        "dequeue_use_threads": True,
        "dequeue_num_workers": 4,
    }


def test_dagsters_coordinator_named_as_a_custom_one() -> None:
    """Its options are those of ours."""
    data = written("""\
        dagsterDaemon:
          runCoordinator:
            type: CustomRunCoordinator
            config:
              customRunCoordinator:
                {module: dagster, class: QueuedRunCoordinator, config: {max_concurrent_runs: 3}}
        """)
    ours = data["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    assert (ours["class"], ours["config"]) == ("CLTQueuedRunCoordinator", {"max_concurrent_runs": 3})


def test_each_container_gets_a_probe_that_loads_the_coordinator() -> None:
    """A code server reads the dagster.yaml of the release from a volume; its other volumes stay."""
    data = written(COMPANY, "--release", "prod")
    for holder in (data["dagsterWebserver"], data["dagsterDaemon"]):
        assert holder["startupProbe"]["exec"]["command"][-1] == "dagster-clt probe"
    probe = "DAGSTER_HOME=/opt/dagster/probe dagster-clt probe && dagster api grpc-health-check --port "
    for deployment, port in zip(data["dagster-user-deployments"]["deployments"], ("3030", "4000"), strict=True):
        assert deployment["startupProbe"]["exec"]["command"][-1] == probe + port
        assert [volume["name"] for volume in deployment["volumes"]] == ["tmp", "dagster-instance-to-probe"]
        assert deployment["volumes"][1]["configMap"] == {"name": "prod-dagster-instance"}
        assert deployment["volumeMounts"] == [
            {"name": "dagster-instance-to-probe", "mountPath": "/opt/dagster/probe", "readOnly": True}
        ]


def test_the_webserver_learns_of_new_images() -> None:
    """The container beside it has its image and asks its port."""
    (reload,) = written(COMPANY)["dagsterWebserver"]["extraContainers"]
    assert reload["image"] == "registry.acme.example/dagster:42"
    assert reload["command"][-1] == "http://127.0.0.1:8080"


def test_what_is_written_passes_the_check(tmp_path: Path) -> None:
    """Nothing is left to do by hand, and a second time there is nothing to add."""
    values(COMPANY, "--write")
    after = Path("my.yaml").read_text()
    findings, _ = check(tmp_path, after)
    assert findings == []
    again = values(after, "--write")
    assert (again.exit_code, again.stdout, Path("my.yaml").read_text()) == (0, "", after)
    assert "Nothing is missing." in again.stderr


def test_twelve_teams_with_tags_of_their_own(tmp_path: Path) -> None:
    """Each has released another version, and most likely another version of the package."""
    teams = [
        f"    - {{name: team-{n}, image: {{repository: registry.acme.example/team-{n}, tag: v{n}}}, port: 3030}}\n"
        for n in range(12)
    ]
    values(COMPANY[: COMPANY.index("    - name: sales")] + "".join(teams), "--write")
    after = Path("my.yaml").read_text()
    assert after.count("configMap: {name: dagster-instance}") == len(teams)
    assert check(tmp_path, after)[0] == []


def test_the_images_that_must_hold_the_package_are_named() -> None:
    """Each once."""
    assert (
        "These images must hold the package: registry.acme.example/dagster:42, registry.acme.example/sales:v7,"
        " registry.acme.example/ops:v2\n"
    ) in values(COMPANY).stderr


@pytest.mark.parametrize(
    ("more", "finding"),
    [
        (
            "additionalInstanceConfig: {run_queue: {max_concurrent_runs: 3}}",
            "Dagster refuses 'additionalInstanceConfig.run_queue', so nothing starts: Found config for `run_queue`"
            " which is incompatible with `run_coordinator` config entry; move what it says to the coordinator's"
            " options, and remove it",
        ),
        (
            "additionalInstanceConfig: {concurrency: {runs: {tag_concurrency_limits: []}}}",
            "replaces every limit of the coordinator",
        ),
        (
            "concurrency: {enabled: true, runs: {tagConcurrencyLimits: [{key: a, limit: 1}]}}",
            "the instance's 'concurrency.runs.tagConcurrencyLimits' replaces every limit of the coordinator",
        ),
        (
            "additionalInstanceConfig: {run_coordinator: {module: a, class: B}}",
            "this coordinator and all its limits are silently gone",
        ),
    ],
)
def test_what_it_cant_do_is_named(more: str, finding: str) -> None:
    """The exit code says that something is left."""
    result = values(f"{COMPANY}{more}\n")
    assert result.exit_code == 1
    assert finding in result.stderr


def test_a_total_of_the_instance_stays_where_it_is() -> None:
    """Two places for it would be one too many."""
    data = written(f"{COMPANY}concurrency: {{enabled: true, runs: {{maxConcurrentRuns: 7}}}}\n")
    ours = data["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    assert "max_concurrent_runs" not in ours["config"]


def test_an_image_that_differs_is_named() -> None:
    """Webserver and daemon load one coordinator."""
    result = values(COMPANY.replace("    image: *image\n", "    image: {repository: a/b, tag: '1'}\n", 1))
    assert "the webserver's image a/b:1 is not the daemon's" in result.stderr


def test_an_image_without_a_tag_gets_no_container_beside_it() -> None:
    """It would have to name another image than the one that is deployed."""
    result = values(COMPANY.replace('  tag: "42"\n', ""), "--write")
    assert "the container 'reload' is left out" in result.stderr
    assert "reload" not in Path("my.yaml").read_text()


def test_another_coordinator_is_left_alone() -> None:
    """Its options are unknown, and a probe for ours would fail."""
    named = "type: CustomRunCoordinator, config: {customRunCoordinator: {module: a, class: B}}"
    result = values(f"dagsterDaemon: {{runCoordinator: {{{named}}}}}\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the values name the run coordinator 'B', whose options can't be taken over" in result.stderr


def test_a_probe_of_ones_own_is_left_alone() -> None:
    """And named."""
    probe = "startupProbe: {enabled: true, exec: {command: [sleep, '1']}}"
    result = values(f"{COMPANY}\n".replace("image: *image\n  runC", f"{probe}\n  image: *image\n  runC"))
    assert "'dagsterDaemon.startupProbe' is a probe of your own" in result.stderr


def test_values_of_a_team() -> None:
    """The chart dagster-user-deployments has its code servers at the top."""
    data = written("deployments:\n- {name: a, image: {repository: r/a, tag: 1}}\n")
    assert data["deployments"][0]["startupProbe"]["enabled"] is True


def test_values_of_a_chart_that_depends_on_dagsters() -> None:
    """They lie one key further down."""
    assert "runCoordinator" in written("dagster: {dagsterDaemon: {}}\n")["dagster"]["dagsterDaemon"]


def test_lines_that_end_as_on_windows() -> None:
    """New ones end alike."""
    values(COMPANY.replace("\n", "\r\n"), "--write")
    after = Path("my.yaml").read_bytes()
    assert after.count(b"\n") == after.count(b"\r\n")


def test_no_values_of_dagster() -> None:
    """There is nothing to add to."""
    result = values("a: 1\n", "--write")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: my.yaml: no key of Dagster's chart, so there is nothing to add; name the file with 'dagsterDaemon'"
        " in it\n"
    )


def test_values_with_the_coordinator() -> None:
    """Its options stay as they are."""
    before = yaml.safe_load(VALUES)["dagsterDaemon"]["runCoordinator"]
    assert written(VALUES)["dagsterDaemon"]["runCoordinator"] == before


def test_a_file_that_cant_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as it was."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    result = values(COMPANY, "--write")
    assert "my.yaml: can't be written: No space left on device; the file is as it was" in result.stderr
    assert [file.name for file in Path().iterdir()] == ["my.yaml"]
