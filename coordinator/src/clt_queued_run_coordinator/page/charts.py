"""Charts as the points of SVG shapes: the pages hold no picture that somebody else serves. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

WIDTH, HEIGHT = 360, 60
"""The size of every chart, in its own units; the style sheet says how large it is shown."""


@dataclass(frozen=True)
class Area:
    """Numbers over time: the outline of the area below them, the largest and the newest of them."""

    points: str
    most: int
    last: int


@lru_cache(maxsize=2000)
def area(numbers: tuple[int, ...]) -> Area:
    """The area of some numbers, the oldest first; each is one step."""
    most, wide = max(numbers, default=0), WIDTH / max(1, len(numbers))
    corners: list[tuple[float, float]] = []
    for place, number in enumerate(numbers):
        high = HEIGHT - (HEIGHT - 2) * number / max(1, most)
        if len(corners) > 1 and corners[-1][1] == high:
            corners[-1] = ((place + 1) * wide, high)  # a level stretch is one line
        else:
            corners += [(place * wide, high), ((place + 1) * wide, high)]
    outline = [(0.0, HEIGHT), *corners, (WIDTH, HEIGHT)]
    return Area(" ".join(f"{x:.4g},{y:.3g}" for x, y in outline), most, numbers[-1] if numbers else 0)


def total(of_each: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The sum of several numbers over time."""
    return tuple(sum(step) for step in zip(*of_each, strict=True))


@dataclass(frozen=True)
class Bar:
    """Slots in use beside the limit and the share, each from 0 to 100.

    Attributes:
        used: The part that is in use.
        share: Where the share ends; None where nothing is shared.
        is_full: Whether the limit is reached.
    """

    used: float
    share: float | None
    is_full: bool


def bar(in_progress: int, limit: int | None, share: float | None) -> Bar:
    """The bar of a code location or a group; as long as its limit, or as whatever is more."""
    whole = max(limit or 0, in_progress, share or 0, 1)
    return Bar(
        100 * in_progress / whole,
        None if share is None else 100 * share / whole,
        limit is not None and in_progress >= limit,
    )
