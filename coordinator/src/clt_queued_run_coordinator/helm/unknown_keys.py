"""Keys in Helm values that the chart doesn't know: Helm ignores them without a word."""

from collections.abc import Iterator
from typing import Any

from clt_queued_run_coordinator.helm.chart import Chart
from clt_queued_run_coordinator.helm.known_keys import KnownKeys, known_keys
from clt_queued_run_coordinator.helm.values import HelmValues
from clt_queued_run_coordinator.helm.yaml import Path, dotted
from clt_queued_run_coordinator.operate.finding import Finding
from clt_queued_run_coordinator.text.similar_names import most_similar


def unknown_keys(values: HelmValues, chart: Chart) -> list[Finding]:
    """A finding for each key that the chart doesn't know, with the nearest one that it does."""
    known = known_keys(chart)
    return [
        Finding(
            what=f"the chart knows no key {dotted(path)!r}, so Helm ignores it",
            where=values.where(*path),
            cure=_cure(path, siblings, known),
        )
        for path, siblings in _unknown(values.data, known, ())
    ]


def _unknown(value: Any, known: KnownKeys, path: Path) -> Iterator[tuple[Path, KnownKeys]]:
    """The path of each unknown key, with what is known beside it."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key in known.keys:
                yield from _unknown(below, known.keys[key], (*path, key))
            elif known.is_complete:
                yield (*path, key), known
    if isinstance(value, list) and known.item:
        for index, below in enumerate(value):
            yield from _unknown(below, known.item, (*path, index))


def _cure(path: Path, siblings: KnownKeys, root: KnownKeys) -> str:
    """What to write instead: the nearest key beside it, else the same key elsewhere in the chart."""
    key = str(path[-1])
    near = most_similar(key, siblings.keys)
    if near:
        return f"write {dotted((*path[:-1], near))!r}"
    elsewhere = min(_places(key, root, ()), key=len, default=None)
    if elsewhere:
        return f"the chart knows it as {dotted(elsewhere)!r}"
    return f"remove it, or write one of {', '.join(sorted(siblings.keys))}"


def _places(key: str, known: KnownKeys, path: Path) -> Iterator[Path]:
    """The paths at which the chart knows a key, outside lists."""
    for name, below in known.keys.items():
        if name == key:
            yield (*path, name)
        yield from _places(key, below, (*path, name))
