"""`dagster-clt values`: a company's values for Dagster's chart, moved to this package's coordinator."""

from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.operate.finding import Finding

from dagster_deploy_tools.check import dagster_parts, findings_in
from dagster_deploy_tools.coordinator import CUSTOM, MAX, OF_CHART, names_our_coordinator
from dagster_deploy_tools.editing import NotEditableError, in_one_line, plain, with_value
from dagster_deploy_tools.images import image_name
from dagster_deploy_tools.instance import Instance, snake_case
from dagster_deploy_tools.values import USER_DEPLOYMENTS, Values, with_new_names
from dagster_deploy_tools.yaml_file import Block, HelmInputError, Path, dotted, parse_yaml, read_content

_OF_THE_CHART = {"dequeueUseThreads": True, "dequeueNumWorkers": 4}
"""What the chart gives its own coordinator, and a custom one not."""

_DAGSTERS_OWN = "QueuedRunCoordinator"
_WEBSERVER, _DAEMON = "dagsterWebserver", "dagsterDaemon"
_PROBE = "dagster-clt probe"
_PROBED_HOME = "/opt/dagster/probe"
_VOLUME = "dagster-instance-to-probe"


@dataclass(frozen=True)
class Moved:
    """A values file before and after.

    Attributes:
        before: Its text.
        after: Its text with what was missing.
        images: The images that must hold the package.
        findings: What is left to do by hand.
    """

    before: str
    after: str
    images: list[str]
    findings: list[Finding]


class _Text:
    """The text of a values file while it is moved, with the images it names and what is left to do by hand."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.images: list[str] = []
        self._left: list[tuple[Path, str, str]] = []

    def values(self) -> Values:
        """What the text says now."""
        document = parse_yaml(self.text.encode(), self.name)
        return Values(document.data, self.name, document.findings)

    def set(self, path: Path, value: Any) -> None:
        """Write a value at a path; it is left to do where that would change something else."""
        value = plain(value)
        try:
            self.text = with_value(self.text, path, value)
        except NotEditableError:
            what = f"{dotted(path)!r} can't be written without changing something else of the file"
            self.leave(path, what, f"write it by hand: {in_one_line(value)}")

    def leave(self, path: Path, what: str, cure: str) -> None:
        """Something is to be done by hand."""
        self._left.append((path, what, cure))

    def left(self) -> list[Finding]:
        """What is to be done by hand, with the lines of the text as it is now."""
        values = self.values()
        return [values.finding(*entry) for entry in self._left]


def moved(file: File, release: str) -> Moved:
    """The values with the coordinator, and with probes that load it.

    What they say of Dagster's own coordinator is taken over; what they hold already is left as it is.

    Args:
        file: The values of Dagster's chart, of one that depends on it, or of the chart dagster-user-deployments.
        release: The name of the release of Dagster's chart.

    Raises:
        HelmInputError: The file can't be read, or holds no values of these charts.
    """
    content, name = read_content(file), str(file)
    data = parse_yaml(content, name).data
    before = content.decode()
    is_of_windows = "\r\n" in before and before.count("\r\n") == before.count("\n")
    text = _Text(name, before.replace("\r\n", "\n") if is_of_windows else before)
    parts = list(dagster_parts(data))
    for path in parts:
        _move(text, path, release)
    if not parts:
        if not isinstance(data.get("deployments"), list | dict):
            what = f"{name}: no key of Dagster's chart, so there is nothing to add"
            raise HelmInputError(f"{what}; name the file with {_DAEMON!r} in it")
        _move_code_servers(text, ("deployments",), data, release)
    findings = text.left()
    if any(names_our_coordinator(Values(text.values().block(*path), "")) for path in parts):
        findings += findings_in(text.values()).findings
    after = text.text.replace("\n", "\r\n") if is_of_windows else text.text
    return Moved(before, after, list(dict.fromkeys(filter(None, text.images))), findings)


def _move(text: _Text, above: Path, release: str) -> None:
    """Move the values of one of Dagster's charts, which are at a path."""
    values = text.values()
    below = Values(with_new_names(values.block(*above)), values.where(*above))
    if not _move_coordinator(text, above, below):
        return
    port = below.get(_WEBSERVER, "service", "port") or 80
    for key, waits in ((_WEBSERVER, 0), (_DAEMON, 15)):
        text.images.append(image_name(below, (key, "image")))
        _set_probe(text, (*above, key), below.get(key, "startupProbe"), _PROBE, waits)
    deployments = below.block(USER_DEPLOYMENTS)
    if deployments.get("enabled", True):
        _add_reload(text, above, below, port)
        if deployments.get("enableSubchart", True):
            path = (*above, USER_DEPLOYMENTS, "deployments")
            _move_code_servers(text, path, below.data, release)


def _move_coordinator(text: _Text, above: Path, values: Values) -> bool:
    """Name this package's coordinator, unless the values name another one whose options nobody here knows."""
    if names_our_coordinator(values):
        return True
    of_chart, custom = values.block(*OF_CHART), values.block(*CUSTOM)
    is_custom = of_chart.get("type") == "CustomRunCoordinator"
    if is_custom and custom.get("class") != _DAGSTERS_OWN:
        what = f"the values name the run coordinator {custom.get('class')!r}, whose options can't be taken over"
        text.leave((*above, *CUSTOM), what, f"write {CLTQueuedRunCoordinator.__name__!r} and its options yourself")
        return False
    if is_custom:
        options = dict(values.block(*CUSTOM, "config"))
    else:
        stock = {**_OF_THE_CHART, **values.block(*OF_CHART, "config", "queuedRunCoordinator")}
        total = stock.pop("maxConcurrentRuns", None)
        options = {MAX: -1 if total is None else total}
        options |= {snake_case(key): value for key, value in stock.items() if value}
    if MAX in Instance(values).runs:
        options.pop(MAX, None)
    ours = CLTQueuedRunCoordinator
    named = {"module": ours.__module__, "class": ours.__name__, "config": options}
    if of_chart.get("enabled") is False:
        text.set((*above, *OF_CHART, "enabled"), True)
    if not is_custom:
        text.set((*above, *OF_CHART, "type"), "CustomRunCoordinator")
    text.set((*above, *CUSTOM), named)
    return True


def _set_probe(text: _Text, path: Path, probe: Any, command: str, waits: int = 0) -> bool:
    """Have a startup probe load the coordinator; False where one does already, or somebody else's stands there."""
    here = (*path, "startupProbe")
    if "dagster-clt" in str(probe):
        return False
    if probe and not (isinstance(probe, dict) and not probe.get("enabled")):
        what = f"{dotted(here)!r} is a probe of your own, which doesn't load the coordinator"
        text.leave(here, what, f"let its command run `{_PROBE}` too")
        return False
    # Through a shell, because Kubernetes takes a command that isn't there for an unknown state, not for a failure.
    shell = {"exec": {"command": ["/bin/sh", "-c", command]}}
    delay = {"initialDelaySeconds": waits} if waits else {}
    times = {"periodSeconds": 10, "timeoutSeconds": 60, "failureThreshold": 12}
    text.set(here, {"enabled": True, **shell, **delay, **times})
    return True


def _add_reload(text: _Text, above: Path, values: Values, port: int) -> None:
    """Have the webserver learn of new images: a container beside it."""
    containers = values.items(_WEBSERVER, "extraContainers")
    if any("dagster-clt" in str(container) and "reload" in str(container) for _, container in containers):
        return
    image = values.block(_WEBSERVER, "image")
    if not image.get("repository") or not image.get("tag"):
        what = f"the container 'reload' is left out: '{_WEBSERVER}.image' has no repository and tag here"
        cure = "write them here, or restart the webserver after each rollout of a code location"
        text.leave((*above, _WEBSERVER, "image"), what, cure)
        return
    address = f"http://127.0.0.1:{port}{values.get(_WEBSERVER, 'pathPrefix') or ''}"
    container = {
        "name": "reload",
        "image": image_name(values, (_WEBSERVER, "image")),
        "command": ["dagster-clt", "reload", "--watch", "--webserver", address],
        "volumeMounts": [{"name": "dagster-workspace-yaml", "mountPath": "/dagster-workspace/"}],
        "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
    }
    if context := values.get(_WEBSERVER, "securityContext"):
        container["securityContext"] = context
    text.set((*above, _WEBSERVER, "extraContainers", len(containers)), container)


def _move_code_servers(text: _Text, path: Path, values: Block, release: str) -> None:
    """Give each code server a startup probe, and the `dagster.yaml` that it reads, which no code server has."""
    instance = {"name": _VOLUME, "configMap": {"name": _instance_of(values, release)}}
    mount = {"name": _VOLUME, "mountPath": _PROBED_HOME, "readOnly": True}
    deployments = text.values().items(*path)
    text.images += [image_name(text.values(), (*path, key, "image")) for key, _ in deployments]
    # The last one first: an alias becomes a list of its own before the list that it stands for is changed.
    for key, deployment in reversed(deployments):
        if not isinstance(deployment, dict):
            continue
        here = (*path, key)
        port = deployment.get("port", 3030)
        command = f"DAGSTER_HOME={_PROBED_HOME} {_PROBE} && dagster api grpc-health-check --port {port}"
        if not _set_probe(text, here, deployment.get("startupProbe"), command):
            continue
        for lists, item in (("volumes", instance), ("volumeMounts", mount)):
            there = text.values().items(*here, lists)
            if _VOLUME not in [entry.get("name") for _, entry in there if isinstance(entry, dict)]:
                text.set((*here, lists, len(there)), item)


def _instance_of(values: Block, release: str) -> str:
    """The name of the ConfigMap with `dagster.yaml`, as the chart makes it up."""
    names = Values(values, "").block("global")
    full = names.get("fullnameOverride")
    name = str(names.get("nameOverride") or "dagster")
    full = str(full or (release if name in release else f"{release}-{name}"))
    return f"{full[:63].removesuffix('-')}-instance"


def write(file: File, result: Moved) -> None:
    """Write the moved values over their file; it is whole at each moment, and keeps its rights.

    Raises:
        HelmInputError: It can't be written.
    """
    target = file.resolve()
    beside = target.with_name(f".{target.name}.moved")
    try:
        beside.write_bytes(result.after.encode())
        beside.chmod(target.stat().st_mode)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise HelmInputError(f"{file}: can't be written: {error.strerror}; the file is as it was") from error
