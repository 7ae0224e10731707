"""The entries of a code location in files that people write: text in, text out.

Whole lines are inserted and deleted where the YAML parser says that an entry begins and ends, so that every other
line, comments included, stays as it was written.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import dedent, indent
from typing import Any, NamedTuple

import yaml

from scripts.location_name import FOLDER, LocationError, package_of

_DEPLOYMENTS = ("dagster-user-deployments", "deployments")
_SHARED = "code-location"
"""The anchor in deploy/values.yaml of what all user deployments share."""


def with_workspace_entry(text: str, name: str) -> str:
    """workspace.yaml with one more code location."""
    entry = f"""\
        - python_module:
            module_name: {package_of(name)}.definitions
            location_name: {name}
        """
    return _with_entry(text, ("load_from",), dedent(entry))


def without_workspace_entry(text: str, name: str) -> str:
    """workspace.yaml without a code location."""
    return _without_entry(
        text, ("load_from",), lambda entry: name in (e.get("location_name") for e in entry.values())
    )


def with_project(text: str, name: str) -> str:
    """dg.toml with one more project."""
    return f"{text.rstrip()}\n{_project(name)}"


def without_project(text: str, name: str) -> str:
    """dg.toml without a project."""
    return text.replace(_project(name), "")


def _project(name: str) -> str:
    return f'\n[[workspace.projects]]\npath = "{FOLDER}/{name}"\n'


def with_deployment(text: str, name: str) -> str:
    """The Helm values with one more user deployment; its image has the registry and the tag of the webserver's."""
    if not re.search(rf"^ *<<: &{_SHARED}$", text, re.MULTILINE):
        raise LocationError(f"deploy/values.yaml has no anchor &{_SHARED} with what all user deployments share")
    image = yaml.safe_load(text)["dagsterWebserver"]["image"]
    entry = f"""\
        - name: {name}
          image:
            repository: {image["repository"].rpartition("/")[0]}/{name}
            tag: "{image["tag"]}"
            pullPolicy: {image["pullPolicy"]}
          dagsterApiGrpcArgs: [--module-name, {package_of(name)}.definitions]
          <<: *{_SHARED}
        """
    return _with_entry(text, _DEPLOYMENTS, dedent(entry))


def without_deployment(text: str, name: str) -> str:
    """The Helm values without a user deployment.

    The one that is removed may hold what all of them share; the next one takes that over.
    """
    shared = re.compile(rf"^(?P<indent> *)<<: &{_SHARED}\n(?:(?P=indent) +.*\n|\n)*", re.MULTILINE)
    before, after = shared.search(text), _without_entry(text, _DEPLOYMENTS, lambda entry: entry["name"] == name)
    if before and not shared.search(after):
        after = re.sub(rf"^ *<<: \*{_SHARED}\n", lambda _: before.group(), after, count=1, flags=re.MULTILINE)
    return after


def with_code_server(text: str, name: str) -> str:
    """compose.yaml with one more code server."""
    image = f"${{REGISTRY:-localhost}}/{name}:${{VERSION:?run make compose-up}}"
    arguments = (
        f'[dagster, api, grpc, --host, 0.0.0.0, --port, "3030", --module-name, {package_of(name)}.definitions]'
    )
    entry = f"""\
        {name}:
          <<: *{_SHARED}
          image: {image}
          command: {arguments}
        """
    return _with_entry(text, ("services",), dedent(entry))


def without_code_server(text: str, name: str) -> str:
    """compose.yaml without a code server."""
    return _without_entry(text, ("services",), name.__eq__)


def with_grpc_server(text: str, name: str) -> str:
    """deploy/compose/workspace.yaml with one more code location."""
    entry = f"""\
        - grpc_server:
            location_name: {name}
            host: {name}
            port: 3030
        """
    return _with_entry(text, ("load_from",), dedent(entry))


class Entry(NamedTuple):
    """What a file has for each code location.

    Attributes:
        add: The file's text with the entry of one more code location.
        remove: The text without the entry of a code location.
    """

    add: Callable[[str, str], str]
    remove: Callable[[str, str], str]


ENTRIES: Mapping[str, Entry] = {
    "workspace.yaml": Entry(with_workspace_entry, without_workspace_entry),
    "dg.toml": Entry(with_project, without_project),
    "deploy/values.yaml": Entry(with_deployment, without_deployment),
    "deploy/compose/workspace.yaml": Entry(with_grpc_server, without_workspace_entry),
    "compose.yaml": Entry(with_code_server, without_code_server),
}
"""The files that name each code location."""


def without_limit(text: str, path: Sequence[str], name: str) -> str:
    """A YAML file without the limit of a code location, if it has one.

    Args:
        text: The file.
        path: The keys that lead to the mapping of limits.
        name: The name of the code location.
    """
    limits = _value(text, path)
    return _without_entry(text, path, name.__eq__) if name in (limits or {}) else text


def _with_entry(text: str, path: Sequence[str], entry: str) -> str:
    lines, block = text.splitlines(keepends=True), _block(text, path)
    *_, last = _entries(lines, block)
    lines[last.stop : last.stop] = [indent(entry, " " * block.start_mark.column)]
    return "".join(lines)


def _without_entry(text: str, path: Sequence[str], is_it: Callable[[Any], bool]) -> str:
    """The text without the items of a list, or the keys of a mapping, of which this is true."""
    lines, block = text.splitlines(keepends=True), _block(text, path)
    entries = list(zip(_value(text, path), _entries(lines, block), strict=True))
    out = [entry for value, entry in entries if is_it(value)]
    if len(out) == len(entries):
        if isinstance(block, yaml.SequenceNode):
            raise LocationError("it is the only code location; add another one first")
        above = out[0].start - 1
        while not lines[above].lstrip().startswith(f"{path[-1]}:"):
            above -= 1
        lines[above] = lines[above].replace(f"{path[-1]}:", f"{path[-1]}: {{}}", 1)
    for entry in reversed(out):
        del lines[entry.start : entry.stop]
    return "".join(lines)


def _value(text: str, path: Sequence[str]) -> Any:
    """What a YAML file has at a path; None if it isn't there."""
    value = yaml.safe_load(text)
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _block(text: str, path: Sequence[str]) -> yaml.CollectionNode:
    """The mapping or sequence at a path, which must be written with an entry a line."""
    node = yaml.compose(text, yaml.SafeLoader)
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in pairs if name.value == key), None)
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        raise LocationError(f"{'.'.join(path)} is not a list or a mapping with an entry a line")
    return node


def _entries(lines: Sequence[str], block: yaml.CollectionNode) -> Iterator[range]:
    """The lines of each entry of a block. Blank lines and comments before the next entry belong to that."""
    firsts = [(item[0] if isinstance(item, tuple) else item).start_mark.line for item in block.value]
    for first, end in zip(firsts, [*firsts[1:], block.end_mark.line], strict=True):
        stop = end
        while _is_between(lines[stop - 1], block.start_mark.column):
            stop -= 1
        yield range(first, stop)


def _is_between(line: str, column: int) -> bool:
    """Whether a line is blank, or a comment that is indented no further than the entries."""
    text = line.strip()
    return not text or (text.startswith("#") and line.index("#") <= column)
