"""One YAML file as Helm reads it, with what Helm doesn't tell: where each key is, and which are written twice.

libyaml reads it, of which Helm's library is a translation; what plain words mean follows Helm's library too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import yaml
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.refusal import RefusalError

Path = tuple[str | int, ...]
"""The way to a value: the keys of mappings and the indexes of lists, from the root."""

MOST_BYTES = 5_000_000
MOST_LEVELS = 100
MOST_VALUES = 100_000
"""Of what aliases stand for too. Values files have a few hundred."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEMPLATE = re.compile(r"""(?:[^"']|"[^"]*"|'[^']*')*?(\{\{.*|\{%.*)""")
"""The first template of a line that isn't in quotes."""
_WORDS = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
}
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")
_INT = re.compile(r"([-+]?)(0x[\da-fA-F]{1,15}|0b[01]{1,62}|0o?[0-7]{1,20}|0|[1-9]\d{0,17})")


class HelmInputError(RefusalError):
    """A values file or a chart that can't be read; the message is one line for the user."""


class Block(dict[str, Any]):
    """A mapping.

    Attributes:
        places: File and line of each key.
        anchored: The keys at or below which an anchor stands, for aliases elsewhere.
    """

    def __init__(self, content: "Block | None" = None) -> None:
        super().__init__(content or {})
        self.places: dict[str | int, str] = dict(content.places) if content else {}
        self.anchored: set[str] = set(content.anchored) if content else set()


class Items(list[Any]):
    """A list, with file and line of each item in `places`."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str | int, str] = {}


@dataclass(frozen=True)
class Document:
    """The content of one YAML file.

    Attributes:
        data: The mapping at the root; an empty file is an empty mapping.
        findings: A finding for each key that a mapping holds twice, and for what follows the first document.
    """

    data: Block
    findings: list[Finding]


def dotted(path: Path) -> str:
    """The path as a user writes it, such as `dagster-user-deployments.deployments[0].image`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_yaml(file: File) -> Document:
    """Read a YAML file.

    Raises:
        HelmInputError: It can't be read, Helm would not read it, or its root is not a mapping.
    """
    return parse_yaml(read_content(file), str(file))


def read_content(file: File) -> bytes:
    """Read a file, no further than `parse_yaml` takes it.

    Raises:
        HelmInputError: It can't be read.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise HelmInputError(f"{file}: can't be read: {cause}; name another file") from error


def parse_yaml(content: bytes, name: str) -> Document:
    """Read the content of one YAML file.

    Args:
        content: The file's content.
        name: The file's name, for findings and errors.

    Raises:
        HelmInputError: Helm would not read it, or its root is not a mapping.
    """
    if len(content) > MOST_BYTES:
        raise HelmInputError(
            f"{name}: more than {MOST_BYTES // 1_000_000} MB, so no values file; name another file"
        )
    try:
        return _Reader(content, name).document()
    except yaml.MarkedYAMLError as error:
        marks = [mark.line for mark in (error.problem_mark, error.context_mark) if mark]
        cause = ", ".join(part for part in (error.context, error.problem) if part)
        raise _not_yaml(content, name, marks, cause) from error
    except yaml.reader.ReaderError as error:
        line = content[: error.position].count(b"\n")
        raise _not_yaml(content, name, [line], f"{error.reason} (the file must be text in UTF-8)") from error


def _not_yaml(content: bytes, name: str, lines: list[int], cause: str) -> HelmInputError:
    """The error for a file that Helm doesn't read; an unrendered template is called by its name."""
    text = content.decode(errors="replace").splitlines()
    begun = [index for index, line in enumerate(text) if line.lstrip().startswith(("{{", "{%"))]
    for index in (*lines, *(line - 1 for line in lines), *begun[:1]):
        template = _TEMPLATE.match(text[index]) if 0 <= index < len(text) else None
        if template:
            return HelmInputError(
                f"{name}:{index + 1}: an unrendered template, {template[1][:60].strip()!r}, which Helm doesn't"
                " render in values; render the file first, and check what comes out"
            )
    return HelmInputError(f"{name}:{min(lines, default=0) + 1}: not YAML: {' '.join(cause.split())}; correct it")


class _Reader:
    """Makes values from the events of libyaml. Never deeper or larger than values can sensibly be."""

    def __init__(self, content: bytes, name: str) -> None:
        self._events: Iterator[Any] = yaml.parse(content, Loader=_LOADER)
        self._content, self._name = content, name
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._values = 0
        self._anchors_met = 0
        self._findings: list[Finding] = []

    def document(self) -> Document:
        next(self._events)  # the stream's beginning
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return Document(Block(), [])
        event = next(self._events)
        data = self._value(event, ())
        if data is None:
            data = Block()
        if not isinstance(data, Block):
            raise HelmInputError(
                f"{self._at(event)}: not a mapping of keys to values; Helm values begin with keys"
            )
        next(self._events)  # the document's end
        following = next(self._events)
        if isinstance(following, yaml.DocumentStartEvent) and getattr(next(self._events), "value", None) != "":
            self._findings.append(
                Finding(
                    what="another document begins here, and Helm reads only the first of a file",
                    where=self._at(following),
                    cure="keep one, or make two files of them",
                )
            )
        return Document(data, self._findings)

    def _at(self, event: Any) -> str:
        return f"{self._name}:{event.start_mark.line + 1}"

    def _value(self, event: Any, path: Path) -> Any:
        """The value that begins with an event."""
        self._count(1, event)
        if isinstance(event, yaml.AliasEvent):
            known = self._anchors.get(str(event.anchor))
            if known is None:
                wrong = "is inside what it stands for" if event.anchor in self._anchors else "has no anchor"
                raise HelmInputError(f"{self._at(event)}: not YAML: the alias *{event.anchor} {wrong}; correct it")
            self._count(known[1], event)
            return known[0]
        if len(path) > MOST_LEVELS:
            raise HelmInputError(
                f"{self._at(event)}: more than {MOST_LEVELS} levels, so no values; correct the file"
            )
        before = self._values
        if event.anchor:
            self._anchors[event.anchor] = None
            self._anchors_met += 1
        if isinstance(event, yaml.SequenceStartEvent):
            value: Any = self._items(path)
        elif isinstance(event, yaml.MappingStartEvent):
            value = self._block(path)
        else:
            value = _scalar(event)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._values - before)
        return value

    def _count(self, number: int, event: Any) -> None:
        self._values += number
        if self._values > MOST_VALUES:
            raise HelmInputError(
                f"{self._at(event)}: more than {MOST_VALUES} values, with those that aliases stand for; shorten it"
            )

    def _items(self, path: Path) -> Items:
        items = Items()
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.places[len(items)] = self._at(event)
            items.append(self._value(event, (*path, len(items))))
        return items

    def _block(self, path: Path) -> Block:
        block = Block()
        written: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            key = self._key(event, path)
            anchors_met = self._anchors_met
            value = self._value(next(self._events), (*path, key))
            if key == "<<" and getattr(event, "implicit", (False,))[0]:
                self._merge(block, value, event)
                continue
            if key in written:
                self._findings.append(
                    Finding(
                        what=f"{dotted((*path, key))!r} is already written in line {written[key]},"
                        " and only the last of the two counts",
                        where=f"{self._name}:{line}",
                        cure="keep one",
                    )
                )
            written.setdefault(key, line)
            block[key] = value
            block.places[key] = f"{self._name}:{line}"
            if self._anchors_met > anchors_met:
                block.anchored.add(key)
        return block

    def _key(self, event: Any, path: Path) -> str:
        """A key as text, which JSON wants, and Helm makes JSON of its values."""
        key = self._value(event, (*path, "?"))
        if isinstance(key, Block | Items) or key is None:
            raise _not_yaml(self._content, self._name, [event.start_mark.line], "a key must be text")
        return str(key).lower() if isinstance(key, bool) else str(key)

    def _merge(self, block: Block, value: Any, event: Any) -> None:
        """Merge what `<<` names. As in Helm it replaces the keys that are written before it."""
        for source in reversed(value) if isinstance(value, Items) else [value]:
            if not isinstance(source, Block):
                raise _not_yaml(self._content, self._name, [event.start_mark.line], "<< must name mappings")
            block.update(source)
            block.places.update(source.places)


def _scalar(event: Any) -> Any:
    """What Helm takes a scalar for."""
    tag = (event.tag or "").rpartition(":")[2]
    is_plain = getattr(event, "implicit", (False,))[0] and not event.tag
    if not is_plain and tag not in {"int", "float", "bool", "null"}:
        return event.value
    if event.value in _WORDS:
        return _WORDS[event.value]
    number = event.value.replace("_", "")
    whole = _INT.fullmatch(number)
    if whole:
        sign, digits = whole.groups()
        return int(f"{sign}{digits}", 0 if digits[:2] in {"0x", "0b", "0o"} else 8 if digits[0] == "0" else 10)
    return float(number) if _FLOAT.fullmatch(number) else event.value
