"""A webserver that has read a code server while it was being replaced is put right by `dagster-clt reload`."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
import yaml
from harness.launches import A, launch_of
from harness.process import Process, free_port, listens
from harness.system import CODE_LOCATIONS, System, trial_config
from harness.waiting import wait_until

OLD, NEW = "registry/code-location-a:1", "registry/code-location-a:2"


class Rollout:
    """A code location's Service in a rollout: the first call goes to the old code server, the rest to the new one.

    Args:
        port: Where the webserver finds the code location.
        old: The port of the old code server.
        new: The port of the new one.
    """

    def __init__(self, port: int, old: int, new: int) -> None:
        self._ports = [old, new]
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Accept no more calls."""
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._ports[0]))
                self._ports = self._ports[-1:]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def code_server(system: System, name: str, image: str, code_location: str = A) -> tuple[Process, int]:
    """A code server of A's code that says that it runs in an image, and its port."""
    port = free_port()
    process = system.process(
        name, "dagster", "api", "grpc", "--port", str(port), "--host", "127.0.0.1",
        "--module-name", CODE_LOCATIONS[A], "--location-name", code_location, "--container-image", image,
    )  # fmt: skip
    process.start()

    def ready() -> bool:
        process.ensure_running()
        return listens(port)

    wait_until(f"{name} accepts connections", ready)
    return process, port


@pytest.fixture
def system(home: Path) -> Iterator[System]:
    """A webserver and nothing else; it has read the old code server, and only the new one is left."""
    system = System(home, trial_config(), code_locations={A: CODE_LOCATIONS[A]})
    system.instance().dispose()
    old, old_port = code_server(system, "old", OLD)
    new, new_port = code_server(system, "new", NEW)
    try:
        with closing(Rollout(system.ports[A], old_port, new_port)):
            system.webserver.start()
            wait_until("the webserver answers", lambda: listens(int(system.url.rpartition(":")[2])))
            yield system
    finally:
        for process in (system.webserver, old, new):
            process.stop()


def image_of_the_next_run(system: System) -> str | None:
    """The image that the webserver gives to a run it launches now; on Kubernetes its tag dagster/image."""
    run_id = system.graphql.launch(launch_of(A, 0))
    with system.instance() as instance:
        run = instance.get_run_by_id(run_id)
    assert run
    assert run.job_code_origin
    return run.job_code_origin.repository_origin.container_image


def test_the_next_run_gets_the_image_of_the_new_code_server(system: System) -> None:
    """Dagster's own watching doesn't notice; the command makes the webserver read the new code server."""
    watching = reload(system)
    assert image_of_the_next_run(system) == OLD
    watching.start()
    try:
        wait_until("a run gets the new image", lambda: image_of_the_next_run(system) == NEW)
    finally:
        watching.stop()
    assert watching.output().splitlines() == [f"{A}: reloaded"]


def reload(system: System) -> Process:
    """`dagster-clt reload --watch`, not started yet."""
    return system.process(
        "reload", "clt_queued_run_coordinator.cli", "reload", "--watch", "--webserver", system.url,
        "--workspace", str(system.workspace),
    )  # fmt: skip


def test_the_webserver_follows_its_workspace_file(system: System) -> None:
    """A code location that is added to the file can be launched, and one that is taken out is gone; no restart."""
    other, port = code_server(system, "preview", OLD, "pr-12")
    before = yaml.safe_load(system.workspace.read_text())
    entry = {"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": "pr-12"}}
    watching = reload(system)
    watching.start()
    try:
        wait_until("it watches", lambda: f"{A}: reloaded" in watching.output())
        for servers, names in (([*before["load_from"], entry], {A, "pr-12"}), (before["load_from"], {A})):
            replace(system.workspace, yaml.safe_dump({"load_from": servers}))
            wait_until("the webserver has them", partial(has, system, names))
    finally:
        watching.stop()
        other.stop()


def replace(file: Path, text: str) -> None:
    """Write a file as the kubelet does: the old one or the new one is there, whole."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def has(system: System, code_locations: set[str]) -> bool:
    """Whether the webserver has these code locations and no others."""
    return system.graphql.load_statuses().keys() == code_locations
