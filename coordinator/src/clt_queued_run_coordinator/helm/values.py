"""The values of one or several files, merged as Helm merges its `-f` files, each with its file and line."""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clt_queued_run_coordinator.helm.yaml import HelmInputError, Path, parse_yaml
from clt_queued_run_coordinator.operate.finding import Finding


@dataclass
class HelmValues:
    """Merged values.

    Attributes:
        data: The values: a later file wins, mappings merge, lists are replaced.
        places: File and line of each key and list item, as the winning file has it.
        repeated: A finding for each key that one file holds twice.
    """

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)
    repeated: list[Finding] = field(default_factory=list)

    def get(self, *path: str | int) -> Any:
        """The value at a path, None where there is none."""
        value: Any = self.data
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def mapping(self, *path: str | int) -> dict[str, Any]:
        """The mapping at a path, an empty one where there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}

    def items(self, *path: str | int) -> list[Any]:
        """The list at a path, an empty one where there is none."""
        value = self.get(*path)
        return value if isinstance(value, list) else []

    def where(self, *path: str | int) -> str:
        """File and line of a path, or of the nearest key above it that is written."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]


def read_values(files: Sequence[pathlib.Path]) -> HelmValues:
    """Read values files in the order in which `helm upgrade -f` takes them.

    Raises:
        HelmInputError: A file can't be read, is not YAML or is not a mapping.
    """
    values = HelmValues()
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise HelmInputError(f"{file}: can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise HelmInputError(f"{file}: can't be read: not a text file in UTF-8") from error
        document = parse_yaml(text, str(file))
        values.places[()] = str(file)
        values.repeated += document.repeated
        _merge(values, values.data, document.data, ())
        values.places.update({path: f"{file}:{line}" for path, line in document.lines.items()})
    return values


def _merge(values: HelmValues, base: dict[str, Any], update: dict[str, Any], path: Path) -> None:
    """Merge a later file's mapping into an earlier one, and forget the places of what it replaces."""
    for key, value in update.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(values, base[key], value, here)
        else:
            if key in base:
                values.places = {place: at for place, at in values.places.items() if place[: len(here)] != here}
            base[key] = value
