"""The queued runs of one code location, split into lanes. Pure.

Runs that have the same priority, and are held by the same, wait in one lane. So if one is held, all are skipped at
once, however many there are.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from clt_queued_run_coordinator.policy.queued_run import JobAndBackfill, MayStart, QueuedRun


@dataclass(slots=True)
class Lane:
    """The queued runs of one code location, priority, job and backfill; the oldest first."""

    code_location: str
    priority: int
    of: JobAndBackfill
    ids: list[int] = field(default_factory=list)

    def place(self, index: int = 0) -> tuple[int, int]:
        """The place of one of the runs; see `QueuedRun.place`."""
        return -self.priority, self.ids[index]

    def behind(self, run: QueuedRun | None) -> int:
        """The index of the first run that comes after a given one."""
        if run is None or self.priority < run.priority:
            return 0
        return len(self.ids) if self.priority > run.priority else bisect_right(self.ids, run.storage_id)


class Lanes:
    """The lanes of one code location. None of them is empty."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[int, JobAndBackfill], Lane] = {}
        self._by_first: list[Lane] = []

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._by_first)

    def add(self, storage_id: int, code_location: str, priority: int, of: JobAndBackfill) -> Lane:
        """Put a run into its lane."""
        lane = self._by_key.get((priority, of))
        if lane is None:
            lane = self._by_key[priority, of] = Lane(code_location, priority, of, [storage_id])
            self._put(lane)
        elif storage_id > lane.ids[-1]:
            lane.ids.append(storage_id)
        elif storage_id < lane.ids[0]:
            self._take(lane)
            lane.ids.insert(0, storage_id)
            self._put(lane)
        else:
            insort(lane.ids, storage_id)
        return lane

    def remove(self, storage_id: int, lane: Lane) -> None:
        """Take a run out of its lane."""
        if storage_id != lane.ids[0]:
            del lane.ids[bisect_left(lane.ids, storage_id)]
            return
        self._take(lane)
        del lane.ids[0]
        if lane.ids:
            self._put(lane)
        else:
            del self._by_key[lane.priority, lane.of]

    def _put(self, lane: Lane) -> None:
        insort(self._by_first, lane, key=Lane.place)

    def _take(self, lane: Lane) -> None:
        del self._by_first[bisect_left(self._by_first, lane.place(), key=Lane.place)]

    def in_order(self, after: QueuedRun | None, may_start: MayStart) -> Iterator[QueuedRun]:
        """The runs that follow a given one, in Dagster's order, from the lanes that may start.

        A lane that may not start is dropped and not looked at again. A lane whose first run lies beyond the last
        one that the caller asks for isn't looked at at all.
        """
        lanes = iter(self._by_first)
        coming = next(lanes, None)
        merged: list[tuple[tuple[int, int], int, Lane]] = []
        while coming or merged:
            while coming and (not merged or coming.place() < merged[0][0]):
                index = coming.behind(after)
                if index < len(coming.ids) and may_start(coming.of):
                    heapq.heappush(merged, (coming.place(index), index, coming))
                coming = next(lanes, None)
            if not merged:
                return
            _, index, lane = merged[0]
            if may_start(lane.of):
                yield QueuedRun(lane.priority, lane.ids[index], lane.of.slots)
                if index + 1 < len(lane.ids):
                    heapq.heapreplace(merged, (lane.place(index + 1), index + 1, lane))
                    continue
            heapq.heappop(merged)
