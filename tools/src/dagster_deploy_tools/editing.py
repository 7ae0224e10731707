"""Sets values in the text of a YAML file. Every line that has nothing to do with them stays as it was written."""

from contextlib import suppress
from textwrap import indent
from typing import Any

import yaml

from dagster_deploy_tools.yaml_file import HelmInputError, Path, parse_yaml

_ALIAS = "alias"
_AS_ONE_LINE = 1_000_000
"""A width, in columns, at which nothing is broken into lines."""


class NotEditableError(Exception):
    """The value can't be set without changing something else, such as what an anchor stands for elsewhere."""


def with_value(text: str, path: Path, value: Any) -> str:
    """The text with a value at a path: in place of what is there, or behind what is beside it.

    Args:
        text: The content of a YAML file, as `parse_yaml` takes it.
        path: The keys of mappings and the indexes of lists that lead to it. What is missing of them is written
            too; the index after the last one is a new item.
        value: Plain data.

    Raises:
        NotEditableError: It can't be set without changing something else.
    """
    expected = _set(plain(parse_yaml(text.encode(), "").data), path, value)
    # Where a list is an alias or merged from elsewhere, the whole of it is written once more, with the new item.
    for end in (path, path[:-1]) if isinstance(path[-1], int) else (path,):
        with suppress(HelmInputError, NotEditableError, yaml.YAMLError):
            edited = _edited(text, end, _get(expected, end))
            if plain(parse_yaml(edited.encode(), "").data) == expected:
                return edited
    raise NotEditableError


def plain(value: Any) -> Any:
    """Values as plain data, in which nothing is shared."""
    if isinstance(value, dict):
        return {key: plain(below) for key, below in value.items()}
    return [plain(below) for below in value] if isinstance(value, list) else value


def in_one_line(value: Any) -> str:
    """A value as YAML in one line."""
    return _dumped(value, in_braces=True).strip()


def _set(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(part, int):
        items = _of_type(list, data)
        return [*items[:part], _set(items[part] if part < len(items) else None, rest, value), *items[part + 1 :]]
    block = _of_type(dict, data)
    return {**block, part: _set(block.get(part), rest, value)}


def _of_type(kind: type[Any], data: Any) -> Any:
    if data is not None and not isinstance(data, kind):
        raise NotEditableError
    return data or kind()


def _get(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


class _Loader(yaml.SafeLoader):
    """Composes nodes that tell where they are written; an alias is a node, and not what it stands for."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node."""
        if not self.check_event(yaml.AliasEvent):
            return super().compose_node(parent, index)
        event: Any = self.get_event()  # type: ignore[no-untyped-call]
        return yaml.ScalarNode(_ALIAS, event.anchor, event.start_mark, event.end_mark)


def _edited(text: str, path: Path, value: Any) -> str:
    """The text with a value at a path; what else changes by that is not looked at."""
    loader = _Loader(text)
    node: Any = loader.get_node() if loader.check_node() else None
    if node is None or not node.value:
        return f"{text.rstrip()}\n".lstrip() + _dumped(_nested(path, value))
    column, in_braces = 0, False
    for depth, part in enumerate(path):
        found = _below(text, node, part)
        if found is None:
            missing = _nested(path[depth:], value)
            is_filled = isinstance(node, yaml.CollectionNode) and node.value
            return _added(text, node, missing) if is_filled else _replaced(text, node, missing, column, in_braces)
        in_braces = in_braces or bool(node.flow_style)
        node, column = found
    return _replaced(text, node, value, column, in_braces)


def _nested(path: Path, value: Any) -> Any:
    for part in reversed(path):
        value = [value] if isinstance(part, int) else {part: value}
    return value


def _below(text: str, node: Any, part: str | int) -> tuple[Any, int] | None:
    """What is written in a node under a key or an index, and the column of the lines that may be below it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if key.value == part:
                return value, key.start_mark.column + 2
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], _dash(text, node) + 2
    elif not isinstance(node, yaml.CollectionNode) and node.tag == _ALIAS:
        raise NotEditableError
    return None


def _dash(text: str, node: yaml.SequenceNode) -> int:
    """The column of a list's dashes; its own mark may be that of its anchor."""
    start = node.value[0].start_mark
    return int(start.column) - (int(start.index) - text.rfind("-", 0, start.index))


def _end(text: str, node: Any) -> int:
    """Where a node ends. The mark of a block is where the next one begins, behind comments and empty lines."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    return len(text[: node.end_mark.index].rstrip())


def _added(text: str, node: Any, value: Any) -> str:
    """The text with one more key, or one more item, at the end of a mapping or a list that has some."""
    end = _end(text, node)
    if node.flow_style:
        last = node.value[-1]
        end = _end(text, last[1] if isinstance(last, tuple) else last)
        return f"{text[:end]}, {in_one_line(value)[1:-1]}{text[end:]}"
    is_mapping = isinstance(node, yaml.MappingNode)
    column = node.value[0][0].start_mark.column if is_mapping else _dash(text, node)
    end = text.find("\n", end)
    before, after = (f"{text}\n", "") if end == -1 else (text[: end + 1], text[end + 1 :])
    return before + indent(_dumped(value), " " * column) + after


def _replaced(text: str, node: Any, value: Any, column: int, in_braces: bool) -> str:
    """The text with another value in place of a node."""
    start, end = node.start_mark.index, _end(text, node)
    if in_braces or not isinstance(value, dict | list) or not value:
        separator = "" if text[:start].endswith((" ", "\n")) else " "
        return text[:start] + separator + in_one_line(value) + text[end:]
    rest_of_line, _, after = text[end:].partition("\n")
    return f"{text[:start].rstrip()}{rest_of_line}\n{indent(_dumped(value), ' ' * column)}{after}"


class _Dumper(yaml.SafeDumper):
    """Writes the dash of an item below its key, two columns further, as most people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Go one level down."""
        del indentless
        super().increase_indent(flow, indentless=False)


def _dumped(value: Any, *, in_braces: bool = False) -> str:
    text: str = yaml.dump(
        value, None, _Dumper, sort_keys=False, allow_unicode=True, width=_AS_ONE_LINE, default_flow_style=in_braces
    )
    return text.removesuffix("...\n")
