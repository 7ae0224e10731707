"""The queued runs of one code location and priority, split into lanes. Pure.

The runs of each limited job or backfill wait in a lane of their own. So when one is at its limit, all of its runs
are skipped at once, however many there are.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, MayStart


@dataclass(slots=True)
class Lane:
    """The queued runs of one code location, priority, job and backfill; the oldest first."""

    code_location: str
    priority: int
    of: JobAndBackfill
    ids: list[int] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The oldest run."""
        return self.ids[0]


class Lanes:
    """The lanes of one code location with one priority. None of them is empty."""

    def __init__(self) -> None:
        self._by_key: dict[JobAndBackfill, Lane] = {}
        self._by_first: list[Lane] = []

    def __len__(self) -> int:
        return sum(len(lane.ids) for lane in self._by_first)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._by_first)

    def add(self, storage_id: int, code_location: str, priority: int, of: JobAndBackfill) -> Lane:
        """Put a run into its lane."""
        lane = self._by_key.get(of)
        if lane is None:
            lane = self._by_key[of] = Lane(code_location, priority, of, [storage_id])
            self._put(lane)
        elif storage_id > lane.ids[-1]:
            lane.ids.append(storage_id)
        elif storage_id < lane.first:
            self._take(lane)
            lane.ids.insert(0, storage_id)
            self._put(lane)
        else:
            insort(lane.ids, storage_id)
        return lane

    def remove(self, storage_id: int, lane: Lane) -> None:
        """Take a run out of its lane."""
        if storage_id != lane.first:
            del lane.ids[bisect_left(lane.ids, storage_id)]
            return
        self._take(lane)
        del lane.ids[0]
        if lane.ids:
            self._put(lane)
        else:
            del self._by_key[lane.of]

    def _put(self, lane: Lane) -> None:
        insort(self._by_first, lane, key=_first)

    def _take(self, lane: Lane) -> None:
        del self._by_first[bisect_left(self._by_first, lane.first, key=_first)]

    def in_order(self, after: int, may_start: MayStart | None) -> Iterator[int]:
        """The runs that follow a given one, oldest first, from the lanes that may start.

        A lane that may not start is dropped and not looked at again. A lane whose first run lies beyond the last
        one that the caller asks for isn't looked at at all.
        """
        if len(self._by_first) == 1 and may_start is None:
            (lane,) = self._by_first
            yield from islice(lane.ids, bisect_right(lane.ids, after), None)
            return
        lanes = iter(self._by_first)
        coming = next(lanes, None)
        merged: list[tuple[int, int, Lane]] = []
        while coming or merged:
            while coming and (not merged or coming.first < merged[0][0]):
                place = bisect_right(coming.ids, after)
                if place < len(coming.ids) and (may_start is None or may_start(coming.of)):
                    heapq.heappush(merged, (coming.ids[place], place, coming))
                coming = next(lanes, None)
            if not merged:
                return
            storage_id, place, lane = merged[0]
            if may_start is None or may_start(lane.of):
                yield storage_id
                if place + 1 < len(lane.ids):
                    heapq.heapreplace(merged, (lane.ids[place + 1], place + 1, lane))
                    continue
            heapq.heappop(merged)


def _first(lane: Lane) -> int:
    return lane.first
