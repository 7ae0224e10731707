"""One YAML file, with what Helm doesn't tell: the line of each key, and keys written twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from clt_queued_run_coordinator.operate.finding import Finding

Path = tuple[str | int, ...]
"""The way to a value: the keys of mappings and the indexes of lists, from the root."""


class HelmInputError(Exception):
    """A values file or a chart that can't be read; the message is one line for the user."""


@dataclass(frozen=True)
class Document:
    """The content of one YAML file.

    Attributes:
        data: The mapping at the root; an empty file is an empty mapping.
        lines: The line of each key and list item.
        repeated: A finding for each key that a mapping holds twice.
    """

    data: dict[str, Any]
    lines: dict[Path, int]
    repeated: list[Finding]


def dotted(path: Path) -> str:
    """The path as a user writes it, such as `dagster-user-deployments.deployments[0].image`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def parse_yaml(text: str, name: str) -> Document:
    """Read the text of one YAML file.

    Args:
        text: The file's content.
        name: The file's name, for findings and errors.

    Raises:
        HelmInputError: The text is not YAML, or its root is not a mapping.
    """
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Document({}, {}, [])
        if not isinstance(root, yaml.MappingNode):
            raise HelmInputError(f"{name}: not a mapping of keys to values; Helm values begin with keys")
        repeated = list(_repeated(root, (), name, set()))
        lines: dict[Path, int] = {}
        return Document(_value(loader, root, (), lines, ()), lines, repeated)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        cause = ", ".join(part for part in (error.context, error.problem) if part)
        raise HelmInputError(f"{place}: not YAML: {' '.join(cause.split())}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise HelmInputError(f"{name}: not YAML: {' '.join(str(error).split())}") from error


def _repeated(node: yaml.Node, path: Path, name: str, seen: set[int]) -> Iterator[Finding]:
    """A finding for each key that one mapping holds twice; before merge keys (`<<`) are resolved."""
    if id(node) in seen:  # an alias of a node that was looked at where it is written
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, (*path, index), name, seen)
    if isinstance(node, yaml.MappingNode):
        first_lines: dict[str, int] = {}
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if key.value in first_lines:
                yield Finding(
                    what=f"{dotted(here)!r} is already written in line {first_lines[key.value]},"
                    " and only the last of the two counts",
                    where=f"{name}:{line}",
                    cure="keep one",
                )
            first_lines.setdefault(str(key.value), line)
            yield from _repeated(value, here, name, seen)


def _value(
    loader: yaml.SafeLoader, node: yaml.Node, path: Path, lines: dict[Path, int], above: tuple[int, ...]
) -> Any:
    """The node's value; fills the lines of what is in it."""
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="a value contains itself", problem_mark=node.start_mark)
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
            items.append(_value(loader, item, (*path, index), lines, above))
        return items
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        mapping = {}
        for key, value in node.value:
            here = (*path, str(key.value))
            lines[here] = key.start_mark.line + 1
            mapping[str(key.value)] = _value(loader, value, here, lines, above)
        return mapping
    return loader.construct_object(node)
