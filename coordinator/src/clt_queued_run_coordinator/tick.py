"""What the daemon may start in one tick."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.limits.sharing import allow, deal
from clt_queued_run_coordinator.limits.tag_limits import as_tag_limits
from clt_queued_run_coordinator.limits.unused import Offer, next_offers, offered
from clt_queued_run_coordinator.queue import state as queue_state
from clt_queued_run_coordinator.queue.state import QueueState, Settings
from clt_queued_run_coordinator.tagging.code_location_tag import CLT_TAG_KEY, code_location_of
from clt_queued_run_coordinator.tagging.writing import write_tags


@dataclass(frozen=True)
class Answer:
    """What the daemon is told at the begin of a tick, in Dagster's own terms."""

    max_concurrent_runs: int
    tag_concurrency_limits: list[dict[str, Any]]


@dataclass
class _LastTick:
    """What the next tick has to know of this one, to see which dealt slots were left unused."""

    last_id: int = 0
    queued: Mapping[str, int] = field(default_factory=dict)
    dealt: Mapping[str, int] = field(default_factory=dict)
    offers: Mapping[str, Offer] = field(default_factory=dict)


class Ticks:
    """The daemon's ticks, one after the other."""

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._settings = settings
        self._log = log
        self._last = _LastTick()
        self._told: dict[str, object] = {}

    def begin(self, instance: DagsterInstance) -> Answer:
        """Read the queue, tag what is queued without its tag, and say what may start.

        Whatever the database raises goes through: the tick fails and starts nothing, as Dagster's own would.
        """
        state = queue_state.read(instance, self._settings, self._last.last_id)
        for line in state.live.unreadable:
            self._tell_once(line, True, logging.WARNING, line)
        self._tag_untagged(instance, state)
        allowed = self._allowed(state)
        tag_limits = as_tag_limits(
            {
                name: None if limit is None else max(0, limit - state.count(name).untagged_in_progress)
                for name, limit in allowed.items()
            },
            state.default_limit,
            self._settings.tag_concurrency_limits,
        )
        if self._nothing_can_start(state, allowed):
            return Answer(self._spare_the_scan(state), tag_limits)
        self._told.pop("saturated", None)
        return Answer(self._settings.max_concurrent_runs, tag_limits)

    def _tag_untagged(self, instance: DagsterInstance, state: QueueState) -> None:
        """Tag queued runs that were queued without their tag: by the stock coordinator, or an old webserver."""
        untagged = state.counts.untagged_queued
        if untagged:
            self._log.info("Tagging %d queued runs that were queued without their code location.", len(untagged))
        for run in untagged:
            write_tags(instance, run, {CLT_TAG_KEY: str(code_location_of(run))})

    def _allowed(self, state: QueueState) -> dict[str, int | None]:
        """The most runs in progress of each code location in this tick: its limit, or less where it is fair."""
        limits = {name: in_force.limit for name, in_force in state.limits.items()}
        if not self._settings.is_fair or state.slots is None:
            return limits
        claims = state.claims()
        dealt = allow(claims, state.slots)
        counts = state.counts.by_code_location
        waiting = {name: count.waiting_since_before for name, count in counts.items()}
        offers = next_offers(
            self._last.offers,
            self._last.dealt,
            {name: queued - waiting.get(name, 0) for name, queued in self._last.queued.items()},
            waiting,
        )
        self._last = _LastTick(
            last_id=max(self._last.last_id, state.counts.last_id),
            queued={name: count.queued for name, count in counts.items()},
            dealt={name: dealt[name] - count.in_progress for name, count in counts.items()},
            offers=offers,
        )
        on_offer = offered(offers)
        others = {name: claim for name, claim in claims.items() if name not in on_offer}
        extra = sum(min(slots, self._last.dealt.get(name, 0)) for name, slots in on_offer.items())
        dealt |= deal(others, extra, dealt, {name: claim.most for name, claim in others.items()})
        return {**limits, **dealt}

    def _nothing_can_start(self, state: QueueState, allowed: Mapping[str, int | None]) -> bool:
        """Whether the counts alone prove that no queued run can start.

        Not where every slot is taken: the daemon sees that for itself, and its own line is the true one.
        """
        if not state.counts.queued:
            return False
        if state.max_concurrent_runs != -1 and state.counts.in_progress >= state.max_concurrent_runs:
            return False
        for name, count in state.counts.by_code_location.items():
            limit = allowed[name]
            if count.queued and (limit is None or count.in_progress < limit):
                return False
        return True

    def _spare_the_scan(self, state: QueueState) -> int:
        """The number that makes the daemon return at once instead of reading the whole queue.

        It says "Maximum is N" then; our own line with the true numbers comes first. Never above the configured
        number: a run that ends between our count and the daemon's own must not let one start above it.
        """
        in_progress = state.counts.in_progress
        full = {
            name: f"{name} {count.in_progress}/{state.limits[name].limit}"
            for name, count in sorted(state.counts.by_code_location.items())
            if count.queued
        }
        self._tell_once(
            "saturated",
            {name: state.limits[name].limit for name in full},
            logging.INFO,
            "No queued run can start: every code location with runs queued is at its limit"
            f" ({', '.join(full.values())}). {state.counts.queued} queued, {in_progress} in progress,"
            f" max_concurrent_runs {state.max_concurrent_runs}; the queue is not read until a slot is free.",
        )
        configured = self._settings.max_concurrent_runs
        return in_progress if configured == -1 else min(configured, in_progress)

    def _tell_once(self, subject: str, state: object, level: int, line: str) -> None:
        """Log a line when what it tells of has changed, not at each tick."""
        if self._told.get(subject) != state:
            self._told[subject] = state
            self._log.log(level, line)
