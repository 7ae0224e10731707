"""Tag limits that are read only when somebody looks at them."""

from collections.abc import Callable, Iterator
from typing import Any

import yaml


class LazyTagLimits(list[dict[str, Any]]):
    """The limits in force, read from the database on first access and kept from then on.

    Run workers ask for the run queue's configuration, and the daemon's pool code does so once per page. Neither
    looks at the tag limits, so they must cost nothing there. This is a list because Dagster checks for one. The
    webserver iterates it, asks for its length and dumps it as YAML.
    """

    def __init__(self, read: Callable[[], list[dict[str, Any]]]) -> None:
        super().__init__()
        self._read: Callable[[], list[dict[str, Any]]] | None = read

    def _looked_at(self) -> None:
        if self._read:
            self.extend(self._read())
            self._read = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._looked_at()
        return super().__iter__()

    def __len__(self) -> int:
        self._looked_at()
        return super().__len__()

    def __getitem__(self, index: Any) -> Any:
        self._looked_at()
        return super().__getitem__(index)

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    __hash__ = None

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[type[list[dict[str, Any]]], tuple[list[dict[str, Any]]]]:
        return list, (list(self),)


def _represent(dumper: yaml.representer.BaseRepresenter, limits: LazyTagLimits) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", list(limits))


yaml.add_representer(LazyTagLimits, _represent, Dumper=yaml.Dumper)
yaml.add_representer(LazyTagLimits, _represent, Dumper=yaml.SafeDumper)
