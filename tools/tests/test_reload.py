"""`dagster-clt reload`, with a webserver that gives one answer; tests/system has a real one."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from clt_queued_run_coordinator.cli import main

A, B = "code-location-a", "code-location-b"
SKIPPED = "some.module: skipped"
LOADED = {"__typename": "WorkspaceLocationEntry", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
BROKEN = {
    "__typename": "WorkspaceLocationEntry",
    "locationOrLoadError": {"__typename": "PythonError", "message": "No module\nnamed a"},
}


def free_port() -> int:
    """A local port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def reload(workspace: Path, url: str = "http://127.0.0.1:1") -> Result:
    """The command's result."""
    return CliRunner().invoke(main, ["reload", "--webserver", url, "--workspace", str(workspace)])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with two code servers, and a module that Dagster would start a code server for itself."""
    servers: list[dict[str, Any]] = [
        {"grpc_server": {"host": "127.0.0.1", "port": free_port(), "location_name": name}} for name in (A, B)
    ]
    file = tmp_path / "workspace.yaml"
    file.write_text(yaml.safe_dump({"load_from": [*servers, {"python_module": "some.module"}]}))
    return file


@contextmanager
def webserver(answer: object, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A webserver that gives the same answer to every reload: its address, and what it was asked to reload."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(f"{self.path} {body['variables']['name']}")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"reloadRepositoryLocation": answer}}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/prefix", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_code_location_with_a_code_server_is_reloaded(workspace: Path) -> None:
    """Through the webserver's address with its path prefix."""
    with webserver(LOADED) as (url, asked):
        answer = reload(workspace, url)
    assert (answer.exit_code, answer.stdout) == (0, f"{A}: reloaded\n{B}: reloaded\n")
    assert asked == [f"/prefix/graphql {A}", f"/prefix/graphql {B}"]


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        (BROKEN, 200, f"the webserver can't reload {A}: No module named a"),
        ({"__typename": "UnauthorizedError", "message": "not allowed"}, 200, "not allowed"),
        (LOADED, 503, "gave no answer that makes sense: 503"),
        (None, 200, "gave no answer that makes sense"),
    ],
)
def test_a_reload_that_fails_is_told_in_one_line(
    workspace: Path, given: object, status: int, message: str
) -> None:
    """With what the webserver has answered; the exit code is 1."""
    with webserver(given, status) as (url, _):
        answer = reload(workspace, url)
    assert answer.exit_code == 1
    assert message in answer.stderr
    assert [line[: len(SKIPPED)] for line in answer.stderr.splitlines()] == [SKIPPED, "Error: the webserver"]


def test_a_webserver_that_does_not_answer_is_named(workspace: Path) -> None:
    """The exit code is 1."""
    url = f"http://127.0.0.1:{free_port()}"
    answer = reload(workspace, url)
    assert (answer.exit_code, f"the webserver at {url} doesn't answer" in answer.stderr) == (1, True)


def test_a_workspace_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The exit code is 1."""
    answer = reload(tmp_path / "none.yaml")
    assert answer.exit_code == 1
    assert "none.yaml can't be read" in answer.stderr


@pytest.mark.parametrize(
    ("entries", "cause"),
    [
        ([{"grpc_server": {"host": "a"}}], "port"),
        ([{"grpc_server": {"host": "a", "port": "b"}}], "port"),
        ([{"grpc_server": {"host": {"env": "NOT_SET_ANYWHERE"}, "port": 1}}], "NOT_SET_ANYWHERE"),
        ([{"grpc_servers": {"host": "a", "port": 1}}], "grpc_servers"),
        (["grpc_server"], "must be a dict"),
        ([[]], ""),
        ([None], ""),
        ("text", "it has no list `load_from`"),
        (None, "it has no list `load_from`"),
    ],
)  # fmt: skip
def test_a_workspace_that_dagster_cannot_read_is_told_in_one_line(
    tmp_path: Path, entries: object, cause: str
) -> None:
    """With the cause and the cure; the exit code is 1."""
    file = tmp_path / "workspace.yaml"
    file.write_text(yaml.safe_dump({"load_from": entries}))
    answer = reload(file)
    assert (answer.exit_code, answer.stdout, len(answer.stderr.splitlines())) == (1, "", 1)
    assert answer.stderr.startswith(f"Error: {file} ")
    assert cause in answer.stderr
    assert "bug" not in answer.stderr
    assert "name another file" in answer.stderr


def test_code_locations_that_dagster_starts_itself_are_skipped(tmp_path: Path) -> None:
    """Each with a line; where there is no other there is nothing to reload."""
    file = tmp_path / "workspace.yaml"
    entries = [{"python_file": "a.py"}, {"python_module": {"module_name": "b", "location_name": "c"}}]
    file.write_text(yaml.safe_dump({"load_from": entries}))
    answer = reload(file)
    assert (answer.exit_code, answer.stdout) == (0, "")
    assert [line.partition(":")[0] for line in answer.stderr.splitlines()] == ["a.py", "c"]


def test_without_the_tools_the_commands_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line: the package's commands are doors to a distribution of their own."""
    for name in [name for name in sys.modules if name.startswith("dagster_deploy_tools")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dagster_deploy_tools", None)
    for arguments in (["reload"], ["check", "--values", "deploy/values.yaml"]):
        answer = CliRunner().invoke(main, arguments)
        assert (answer.exit_code, len(answer.stderr.splitlines())) == (1, 1)
        assert "pip install ./tools" in answer.stderr
