"""`dagster-clt check` on an instance."""

import importlib.metadata
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from clt_queued_run_coordinator.cli import main
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY
from clt_queued_run_coordinator.daemon import readers
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION, PREFIX
from clt_queued_run_coordinator.store import document, live
from dagster import DagsterRunStatus
from dagster._daemon.types import DaemonHeartbeat
from tests.command_line.conftest import Home
from tests.run_queue import A, B
from tests.runner import new_runner


def test_a_right_instance_has_no_findings(home: Home) -> None:
    """Exit code 0."""
    home.queue().queue(A, 1)
    answer = home.run("check")
    assert (answer.code, answer.out, answer.err) == (0, "", "0 findings\n")


def test_queued_runs_without_their_tag_are_found_and_fixed(home: Home) -> None:
    """--fix tags them."""
    queue = home.queue()
    (run_id,) = queue.put(A, DagsterRunStatus.QUEUED)
    queue.queue(A, 1)
    answer = home.run("check")
    assert answer.code == 1
    assert answer.out == (
        "the instance's database: 1 queued run lacks the tag of its code location;"
        " run `dagster-clt check --fix`, or wait for the daemon's next tick\n"
    )
    answer = home.run("check", "--fix")
    assert (answer.code, answer.out) == (0, "")
    assert queue.run(run_id).tags[CLT_TAG_KEY] == A


def test_what_does_not_count_for_the_size_of_runs_is_found(home: Home) -> None:
    """Wrong quantities in tags, each once, and resources that no slot holds."""
    limits = {"slot": {"cpu": 1}, "default": {"run_needs": {"mem": "1Gi"}}, "locations": {A: {"limit": 3}}}
    home.configure({"code_location_limits": limits})
    wrong = {"dagster-k8s/config": '{"container_config": {"resources": {"requests": {"cpu": "2x"}}}}'}
    home.queue().queue(A, 2, tags=wrong)
    assert home.run("check").out.splitlines() == [
        "dagster.yaml: run_coordinator: run_needs of default names mem, which slot doesn't, so it doesn't count;"
        " name mem in code_location_limits.slot, or take it out",
        "the instance's database: of 2 queued runs, requests.cpu in its tags is '2x', so it doesn't count;"
        " it must be a quantity as Kubernetes writes it, such as 2, 500m, 1.5Gi or 1e3",
    ]


def test_a_limit_for_an_unknown_code_location_is_found(home: Home) -> None:
    """With the nearest name that runs were queued from."""
    home.configure({"code_location_limits": {"locations": {"code-locaton-b": 2}}})
    home.queue().queue(B, 1)
    assert home.run("check").out == (
        "dagster.yaml: run_coordinator: no run was ever queued from a code location 'code-locaton-b';"
        " did you mean 'code-location-b'\n"
    )


def test_what_was_changed_for_a_code_location_that_is_gone_is_removed_by_what_is_said(home: Home) -> None:
    """Its limit, its pause, or both."""
    workspace = home.folder / "workspace.yaml"
    server = {"host": "a", "port": 1, "location_name": A}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    home.queue().queue(A, 1)
    assert home.run("set-limit", "--force", "gone", "3").code == 0
    assert home.run("pause", "--force", "gone").code == 0
    answer = home.run("check")
    assert answer.out.endswith("; if it is gone, `dagster-clt clear-limit gone` and `dagster-clt resume gone`\n")
    for command in ("clear-limit", "resume"):
        assert home.run(command, "gone").code == 0
    assert home.run("check").out == ""


@pytest.mark.parametrize("has_runs", [False, True])
def test_a_name_that_is_right_is_no_finding(home: Home, has_runs: bool) -> None:
    """A code location that nothing was queued from may be new; its sibling is no mistake for it."""
    home.configure({"code_location_limits": {"locations": {A: 2, B: 2, "billing": 1}}})
    if has_runs:
        home.queue().queue(A, 1)
    assert home.run("check").out == ""


def test_what_exists_is_known_from_the_workspace(home: Home) -> None:
    """The file is found, or named; one that has no name in common is another instance's, unless it is named."""
    home.configure({"code_location_limits": {"locations": {A: 2, "bilings": 1}}})
    workspace = home.folder / "workspace.yaml"
    server = {"host": "a", "port": 1}

    def write(*names: str) -> None:
        entries = [{"grpc_server": {**server, "location_name": name}} for name in names]
        workspace.write_text(yaml.safe_dump({"load_from": entries}))

    write(A, "billings")
    assert home.run("check").out == (
        "dagster.yaml: run_coordinator: no run was ever queued from a code location 'bilings', and it is"
        " not in workspace.yaml; did you mean 'billings'\n"
    )
    write(A, "bilings")
    assert home.run("check").out == ""
    write("another", "instances")
    assert home.run("check").out == ""
    answer = home.run("check", "--workspace", str(workspace))
    assert answer.out.count("; if it is gone, remove it from code_location_limits\n") == 2
    workspace.write_text(yaml.safe_dump({"load_from": [{"python_file": "a.py"}, {"grpc_server": server}]}))
    assert home.run("check", "--workspace", str(workspace)).out == ""


@pytest.mark.parametrize("text", ["[", "a: b", "load_from: 3", "\0", ""])
def test_a_workspace_that_cannot_be_read_is_told(home: Home, text: str) -> None:
    """Where it is named; one that was found is passed by."""
    (home.folder / "workspace.yaml").write_text(text)
    assert home.run("check").code == 0
    answer = home.run("check", "--workspace", "workspace.yaml")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: workspace.yaml ")
    assert len(answer.err.splitlines()) == 1


def test_a_limit_above_the_total_is_found(home: Home) -> None:
    """It can't be reached."""
    home.configure({"max_concurrent_runs": 4, "code_location_limits": {"locations": {A: 6}}})
    assert home.run("check").out == (
        f"dagster.yaml: run_coordinator: the limit 6 of {A} can't be reached: max_concurrent_runs is 4;"
        " raise max_concurrent_runs to 6 or more\n"
    )


def test_a_group_that_is_wrong_is_found(home: Home) -> None:
    """A limit that can't be reached, and a code location that nobody knows."""
    groups = {"team": {"locations": [A, "code-locaton-b"], "limit": 9}}
    home.configure({"max_concurrent_runs": 4, "code_location_limits": {"groups": groups}})
    home.queue().queue(A, 1)
    home.queue().queue(B, 1)
    answer = home.run("check").out
    assert "'code-locaton-b'; did you mean 'code-location-b'" in answer
    assert answer.endswith(
        "dagster.yaml: run_coordinator: the limit 9 of the group team can't be reached: max_concurrent_runs is 4;"
        " raise max_concurrent_runs to 9 or more\n"
    )


def test_minimums_above_the_total_of_the_instance_are_refused(home: Home) -> None:
    """By every command, before the database is opened."""
    home.configure(
        {"code_location_limits": {"locations": {A: {"min": 6}}}}, concurrency={"runs": {"max_concurrent_runs": 5}}
    )
    answer = home.run("status")
    assert answer.code == 1
    assert "code_location_limits reserves 6 slots (locations.code-location-a 6), but" in answer.err
    assert "concurrency.runs.max_concurrent_runs is 5; lower a min, or raise" in answer.err


def test_limits_that_concurrency_runs_replaces_are_found(home: Home) -> None:
    """Total and tag limits."""
    runs = {"max_concurrent_runs": 3, "tag_concurrency_limits": [{"key": "x", "limit": 1}]}
    home.configure({"max_concurrent_runs": 4}, concurrency={"runs": runs})
    assert home.run("check").out == (
        "dagster.yaml: concurrency.runs: tag_concurrency_limits replaces every limit that the"
        " coordinator hands to the daemon, even if it is empty: live limits and pauses hold only while the"
        " daemon's reading of the queue is narrowed; take the key out, or move its entries to"
        " run_coordinator.config.tag_concurrency_limits\n"
        "dagster.yaml: concurrency.runs: max_concurrent_runs 3 replaces the coordinator's 4; set it in only one of"
        " the two places\n"
    )


@pytest.mark.parametrize("present", [[], None], ids=["empty", "null"])
def test_an_empty_key_that_shadows_live_changes_is_found(home: Home, present: Any) -> None:
    """Dagster goes by the key being there; a change that is made live is told so too."""
    home.configure({}, concurrency={"runs": {"tag_concurrency_limits": present}})
    assert home.run("check").out == (
        "dagster.yaml: concurrency.runs: tag_concurrency_limits replaces every limit that the"
        " coordinator hands to the daemon, even if it is empty: live limits and pauses hold only while the"
        " daemon's reading of the queue is narrowed; take the key out, or move its entries to"
        " run_coordinator.config.tag_concurrency_limits\n"
    )
    assert "Beware: dagster.yaml: concurrency.runs: tag_concurrency_limits" in home.run("pause", "--all").err


@pytest.mark.parametrize(
    ("config", "finding"),
    [
        ({}, None),
        ({"max_concurrent_runs": 5}, None),
        ({"max_concurrent_runs": 10}, "max_concurrent_runs 5 replaces the coordinator's 10"),
    ],
    ids=["one place", "the same twice", "two totals"],
)
def test_one_place_for_the_total_is_enough(home: Home, config: dict[str, Any], finding: str | None) -> None:
    """`concurrency.runs` may hold it, as Dagster's docs teach; only two that differ are a finding."""
    home.configure(config, concurrency={"runs": {"max_concurrent_runs": 5}})
    out = home.run("check").out
    assert out == (
        f"dagster.yaml: concurrency.runs: {finding}; set it in only one of the two places\n" if finding else ""
    )
    assert "(of 5)" in home.run("status").out


@pytest.mark.parametrize(
    "command", [["status"], ["check"], ["set-limit", A, "1"], ["pause", "--all"], ["metrics"]]
)
def test_another_coordinator_is_refused(home: Home, command: list[str]) -> None:
    """With what to write instead; no traceback."""
    (home.folder / "dagster.yaml").write_text("")
    answer = home.run(*command)
    assert (answer.code, answer.out) == (1, "")
    assert "is QueuedRunCoordinator; name the module clt_queued_run_coordinator.coordinator" in answer.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run_coordinator: [", "while parsing a flow node"),
        ("run_coordinator: {module: nowhere, class: X}", "Couldn't import module nowhere"),
        (
            "run_coordinator: {module: clt_queued_run_coordinator.coordinator, class: CTLQueued}",
            "Couldn't find class CTLQueued in module",
        ),
        (
            "run_coordinator: {module: clt_queued_run_coordinator.coordinator, class: CLTQueuedRunCoordinator,"
            " config: {code_location_limits: {default: -1}}}",
            "code_location_limits.default is -1; it must be a whole number of runs, 0 or more.",
        ),
        (
            "run_coordinator: {module: clt_queued_run_coordinator.coordinator, class: CLTQueuedRunCoordinator,"
            " config: {max_concurent_runs: 3}}",
            'Error 1: Received unexpected config entry "max_concurent_runs" at the root.',
        ),
        *(
            (
                f"concurrency: {{runs: {{tag_concurrency_limits: {present}}}}}\n"
                "run_coordinator: {module: clt_queued_run_coordinator.coordinator, class: CLTQueuedRunCoordinator,"
                " config: {code_location_limits: {default: 1}}}",
                "The instance's concurrency.runs.tag_concurrency_limits replaces",
            )
            for present in ("[{key: x, limit: 1}]", "[]", "null")
        ),
    ],
)
def test_the_probe_says_why_a_coordinator_cannot_be_loaded(home: Home, text: str, message: str) -> None:
    """In one line."""
    (home.folder / "dagster.yaml").write_text(text)
    answer = home.run("probe")
    assert (answer.code, answer.out) == (1, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_the_probe_needs_no_database_and_refuses_another_coordinator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another one every limit would be gone without a word."""
    monkeypatch.delenv("NO_SUCH_DATABASE", raising=False)
    home = Home(tmp_path, {"storage": {"postgres": {"postgres_url": {"env": "NO_SUCH_DATABASE"}}}}, ExitStack())
    assert home.run("probe").out == "CLTQueuedRunCoordinator can be loaded\n"
    (tmp_path / "dagster.yaml").write_text("")
    answer = home.run("probe")
    assert (answer.code, answer.out) == (1, "")
    assert "is QueuedRunCoordinator; name the module clt_queued_run_coordinator.coordinator" in answer.err


@pytest.mark.parametrize(
    ("value", "message"),
    [(None, "DAGSTER_HOME is not set"), ("nowhere", "DAGSTER_HOME is 'nowhere'; it must be the absolute path")],
)
def test_a_missing_instance_is_told(monkeypatch: pytest.MonkeyPatch, value: str | None, message: str) -> None:
    """Before anything is read."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    result = new_runner().invoke(main, ["status"], env={"DAGSTER_HOME": value})
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """In one line, without a traceback."""
    url = "postgresql://dagster@127.0.0.1:1/nothing"
    home = Home(tmp_path, {"storage": {"postgres": {"postgres_url": url}}}, ExitStack())
    answer = home.run("status")
    assert answer.code == 1
    assert "Connection refused" in answer.err
    assert len(answer.err.splitlines()) == 1


def _daemon(home: Home, since: float, at: float, version: str | None = None, process: str = "here") -> None:
    """Let a daemon say that it reads the queue; both in seconds from now."""
    now = time.time()
    reader = readers.Reader(process, version or importlib.metadata.version(readers.PACKAGE), now + since, now + at)
    document.write(home.queue().instance, f"{readers.PREFIX}{process}", asdict(reader))


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_two_daemons_are_found_and_one_after_the_other_is_not(home: Home) -> None:
    """A new one begins when the old one has ended, or shortly before where clocks differ."""
    _daemon(home, since=-500, at=-50, process="old")
    _daemon(home, since=-45, at=-1, process="new")
    assert home.run("check").out == ""
    _daemon(home, since=-500, at=-20, process="old")
    assert home.run("check").out == (
        "the daemon: 2 daemons run at once, so that schedules and sensors may launch twice: new, old;"
        " stop all but one, or set code_location_limits.standby: true\n"
    )
    _daemon(home, since=-500, at=-300, process="old")
    assert home.run("check").out == ""


def _later(clock: Callable[[], float], seconds: float) -> float:
    return clock() + seconds


def test_each_daemon_tells_that_it_reads_the_queue(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real ones, side by side."""
    first, second = home.queue(), home.queue()
    clock, monotonic = time.time, time.monotonic
    for seconds in (0, 12, 24):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", partial(_later, clock, seconds))
            patch.setattr(time, "monotonic", partial(_later, monotonic, seconds))
            for queue in (first, second):
                queue.tick()
    assert "2 daemons run at once" in home.run("check").out


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_daemon_of_another_version_is_found(home: Home) -> None:
    """While it runs."""
    _daemon(home, since=-500, at=-1, version="2.0.0")
    assert "the daemon: the daemon runs version 2.0.0 of this package" in home.run("check").out
    _daemon(home, since=-500, at=-100, version="2.0.0")
    assert home.run("check").out == ""


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_daemon_that_does_not_read_the_queue_is_found(home: Home) -> None:
    """It lives by its heartbeats; one that reads the queue is no finding."""
    queue = home.queue()
    queue.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), queue.daemon.daemon_type(), "id"))
    assert home.run("check").out == (
        "the daemon: the daemon runs, but has not read the queue since it has begun; see its log\n"
    )
    queue.tick()
    assert home.run("check").out == ""


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_a_resume_that_does_nothing_is_found_and_removed(home: Home) -> None:
    """Earlier versions left one for each name that was resumed; one beside a pause of all is no finding."""
    queue = home.queue()
    row = {"value": False, "by": "somebody", "at": "2026-01-01T00:00:00+00:00"}
    document.write(queue.instance, f"{PREFIX}/paused/{A}", row)
    assert home.run("check").out == (
        f"the instance's database: a resume of {A!r} is stored that does nothing; run `dagster-clt check --fix`\n"
    )
    live.pause(queue.instance, EVERY_CODE_LOCATION)
    assert home.run("check").out == ""
    home.run("resume", "--all")
    document.write(queue.instance, f"{PREFIX}/paused/{A}", row)
    answer = home.run("check", "--fix")
    assert (answer.code, answer.out) == (0, "")
    assert f"Removed what did nothing: the resume of {A}" in answer.err
    assert home.run("status").out.count("somebody") == 0
