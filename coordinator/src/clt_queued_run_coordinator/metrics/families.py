"""The metrics of one scrape, named as Prometheus would have them. Pure."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from clt_queued_run_coordinator.config.options import FAIR
from clt_queued_run_coordinator.metrics.scrape import Scrape
from clt_queued_run_coordinator.operate.status import CodeLocationStatus, GroupStatus
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.totals import WAIT_BOUNDS, Totals
from clt_queued_run_coordinator.text.safe import LONGEST_CELL, safe

LABEL = "code_location"

PAUSE_REASONS = ("pause", "breaker", "limit_zero")
"""Why nothing of a code location starts: each is a series of its own, so that what ends goes to 0."""


def families(scrape: Scrape) -> Iterator[Metric]:
    """The metrics of a scrape that has read the queue, with labels that are safe to show."""
    for part in (_of_the_daemon, _of_the_queue, _of_the_shares, _of_the_groups, _of_the_totals):
        for metric in part(scrape):
            metric.samples = [
                sample._replace(labels={key: safe(value, LONGEST_CELL) for key, value in sample.labels.items()})
                for sample in metric.samples
            ]
            yield metric


def _of_the_daemon(scrape: Scrape) -> Iterator[Metric]:
    if scrape.status.queue_reading is not None:
        yield GaugeMetricFamily(
            "dagster_clt_narrowed_reading",
            "1 where the daemon reads just the queued runs that may start, 0 where it reads the whole queue;"
            " absent before its first tick.",
            value=int(scrape.status.queue_reading == "narrowed"),
        )
    yield GaugeMetricFamily(
        "dagster_clt_limits_shadowed",
        "1 where concurrency.runs.tag_concurrency_limits of the instance replaces the limits that the daemon is"
        " handed, else 0.",
        value=int(scrape.are_limits_shadowed),
    )
    tick = scrape.last_tick
    if tick is None:
        return
    yield GaugeMetricFamily(
        "dagster_clt_last_tick_timestamp_seconds",
        "When the daemon last read the queue, to within 10 seconds and by its own clock; absent before its first"
        " tick.",
        value=tick.at,
    )
    yield GaugeMetricFamily(
        "dagster_clt_seconds_since_last_tick",
        "How long ago the daemon last read the queue, to within 10 seconds; absent before its first tick.",
        value=max(0.0, scrape.at.timestamp() - tick.at),
    )
    yield GaugeMetricFamily(
        "dagster_clt_reading_duration_seconds",
        "How long this package's part of that tick took: reading the database and choosing the runs.",
        value=tick.reading_seconds,
    )


def _of_the_queue(scrape: Scrape) -> Iterator[Metric]:
    lines = scrape.status.code_locations
    yield GaugeMetricFamily(
        "dagster_clt_max_concurrent_runs",
        "The most runs in progress at once; -1 for no such limit.",
        value=_as_float(scrape.status.max_concurrent_runs),
    )
    yield _gauge("queued_runs", "Queued runs.", ((line, line.queued) for line in lines))
    yield _gauge("in_progress_runs", "Runs in progress.", ((line, line.in_progress) for line in lines))
    yield _gauge(
        "limit_runs",
        "The most runs in progress at once; absent for a code location without a limit.",
        ((line, line.limit) for line in lines),
    )
    yield _gauge(
        "max_queued_runs",
        "The most queued runs, beyond which a submit is refused; absent for a code location without such a limit.",
        ((line, line.max_queued) for line in lines),
    )
    yield _gauge(
        "oldest_queued_run_age_seconds",
        "How long ago the oldest queued run was created; 0 with nothing queued.",
        ((line, line.oldest_queued_seconds or 0) for line in lines),
    )
    paused = GaugeMetricFamily(
        "dagster_clt_paused",
        "1 where nothing of the code location may start for this reason, else 0: it is paused, its circuit breaker"
        " is open, or its limit is 0.",
        labels=[LABEL, "reason"],
    )
    for line in lines:
        for reason in PAUSE_REASONS:
            paused.add_metric([line.code_location, reason], int(_pause_reason(line) == reason))
    yield paused


def _pause_reason(line: CodeLocationStatus) -> str | None:
    if line.limit_from == Source.PAUSED.value:
        return "pause"
    if line.limit_from == Source.BREAKER.value:
        return "breaker"
    return "limit_zero" if line.limit == 0 else None


def _of_the_shares(scrape: Scrape) -> Iterator[Metric]:
    lines = scrape.status.code_locations
    is_shared = _is_shared(scrape)
    yield _gauge(
        "weight",
        "How large the code location's share is beside the others'.",
        ((line, line.weight) for line in lines),
    )
    yield _gauge(
        "min_slots",
        "The slots that are kept for the code location while it has runs queued.",
        ((line, line.min) for line in lines),
    )
    yield _gauge(
        "share_slots",
        "The slots that are the code location's own; absent where nothing is shared.",
        ((line, line.share or 0) for line in lines if is_shared),
    )
    yield _gauge(
        "credit_slot_seconds",
        "By how much the code location has had less than its share lately, halved every half-life; absent where"
        " nothing is shared.",
        ((line, line.credit_slot_seconds) for line in lines),
    )


def _of_the_totals(scrape: Scrape) -> Iterator[Metric]:
    # A code location that is known begins at 0, so that its first start makes a rate.
    known = [line.code_location for line in scrape.status.code_locations]
    totals = {name: Totals() for name in known} | dict(scrape.totals)
    refusals = CounterMetricFamily(
        "dagster_clt_refusals",
        "Submits that were refused because as many runs were queued as max_queued allows.",
        labels=[LABEL],
    )
    for name, refused in sorted((dict.fromkeys(known, 0) | dict(scrape.refused)).items()):
        refusals.add_metric([name], _as_float(refused))
    starts = CounterMetricFamily("dagster_clt_starts", "Runs that started.", labels=[LABEL])
    ends = CounterMetricFamily(
        "dagster_clt_ends",
        "Runs that ended, by outcome: success, failure or canceled, which may be in the queue.",
        labels=[LABEL, "outcome"],
    )
    waits = HistogramMetricFamily(
        "dagster_clt_queue_wait_seconds",
        "How long each run that started was queued, from its creation to the tick that started it.",
        labels=[LABEL],
    )
    bounds = [*map(str, WAIT_BOUNDS), "+Inf"]
    for name, counted in sorted(totals.items()):
        starts.add_metric([name], counted.starts)
        for outcome, number in counted.ends.items():
            ends.add_metric([name, outcome.value], number)
        waits.add_metric([name], list(zip(bounds, accumulate(counted.waits), strict=True)), counted.waited)
    yield from (starts, ends, refusals, waits)


def _is_shared(scrape: Scrape) -> bool:
    """Whether slots are shared; then an idle code location has a share of 0, so that its series goes on."""
    return scrape.status.sharing == FAIR and scrape.status.max_concurrent_runs != -1


def _of_the_groups(scrape: Scrape) -> Iterator[Metric]:
    groups = scrape.status.groups
    is_shared = _is_shared(scrape)
    if not groups:
        return
    numbers: dict[str, tuple[str, Callable[[GroupStatus], float | None]]] = {
        "queued_runs": ("Queued runs of the group.", lambda group: group.queued),
        "in_progress_runs": ("Runs in progress of the group.", lambda group: group.in_progress),
        "limit_runs": (
            "The most runs of the group in progress at once; absent for a group without a limit.",
            lambda group: group.limit,
        ),
        "weight": ("How large the group's share is beside the others'.", lambda group: group.weight),
        "min_slots": ("The slots that are kept for the group while it has runs queued.", lambda group: group.min),
        "share_slots": (
            "The slots that are the group's own; absent where nothing is shared.",
            lambda group: (group.share or 0) if is_shared else None,
        ),
        "credit_slot_seconds": (
            "By how much the group has had less than its share lately; absent where nothing is shared.",
            lambda group: group.credit_slot_seconds,
        ),
    }
    for name, (documentation, number) in numbers.items():
        yield _gauge(f"group_{name}", documentation, ((group, number(group)) for group in groups))


def _gauge(
    name: str, documentation: str, values: Iterable[tuple[CodeLocationStatus | GroupStatus, float | None]]
) -> GaugeMetricFamily:
    """A gauge by code location, or by group; None for one that has no such number."""
    family = GaugeMetricFamily(
        f"dagster_clt_{name}", documentation, labels=["group" if name.startswith("group_") else LABEL]
    )
    for line, value in values:
        if value is not None:
            label = line.group if isinstance(line, GroupStatus) else line.code_location
            family.add_metric([label], _as_float(value))
    return family


def _as_float(number: float) -> float:
    """The number as Prometheus takes it: one too large for a float, which would end the scrape, is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
