"""The metrics of one scrape, named as Prometheus would have them. Pure."""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from clt_queued_run_coordinator.metrics.scrape import Scrape
from clt_queued_run_coordinator.operate.status import CodeLocationStatus
from clt_queued_run_coordinator.policy.in_force import Source
from clt_queued_run_coordinator.policy.totals import WAIT_BOUNDS, Totals
from clt_queued_run_coordinator.text.safe import LONGEST_CELL, safe

LABEL = "code_location"

PAUSE_REASONS = ("pause", "breaker", "limit_zero")
"""Why nothing of a code location starts: each is a series of its own, so that what ends goes to 0."""

Numbers = dict[str, tuple[str, Callable[[Any], float | None]]]
"""By name, what a metric says, and its number from what it is about; None where there is none."""

_OF_THE_SCRAPE: Numbers = {
    "max_concurrent_runs": (
        "The most runs in progress at once; -1 for no such limit.",
        lambda scrape: scrape.status.max_concurrent_runs,
    ),
    "narrowed_reading": (
        "1 where the daemon reads just the queued runs that may start, 0 where it reads the whole queue; absent"
        " before its first tick.",
        lambda scrape: {None: None, "narrowed": 1}.get(scrape.status.queue_reading, 0),
    ),
    "limits_shadowed": (
        "1 where concurrency.runs.tag_concurrency_limits of the instance replaces the limits that the daemon is"
        " handed, else 0.",
        lambda scrape: scrape.are_limits_shadowed,
    ),
    "last_tick_timestamp_seconds": (
        "When the daemon last read the queue, to within 10 seconds and by its own clock; absent before its first"
        " tick.",
        lambda scrape: scrape.last_tick and scrape.last_tick.at,
    ),
    "seconds_since_last_tick": (
        "How long ago the daemon last read the queue, to within 10 seconds; absent before its first tick.",
        lambda scrape: scrape.last_tick and max(0.0, scrape.at.timestamp() - scrape.last_tick.at),
    ),
    "reading_duration_seconds": (
        "How long this package's part of that tick took: reading the database and choosing the runs.",
        lambda scrape: scrape.last_tick and scrape.last_tick.reading_seconds,
    ),
}
_OF_EACH: Numbers = {
    "queued_runs": ("Queued runs of the {}.", lambda line: line.queued),
    "in_progress_runs": ("Runs in progress of the {}.", lambda line: line.in_progress),
    "limit_runs": (
        "The most runs of the {0} in progress at once; absent for a {0} without a limit, and where slots count.",
        lambda line: line.limit if line.in_progress_slots is None else None,
    ),
    "queued_slots": ("Slots that the {}'s queued runs take, where slots count.", lambda line: line.queued_slots),
    "in_progress_slots": (
        "Slots that the {}'s runs in progress hold, where slots count.",
        lambda line: line.in_progress_slots,
    ),
    "limit_slots": (
        "The most slots that the {0}'s runs may hold; absent for a {0} without a limit, and where runs count.",
        lambda line: None if line.in_progress_slots is None else line.limit,
    ),
    "weight": ("How large the share of the {} is beside the others'.", lambda line: line.weight),
    "min_slots": ("The slots that are kept for the {} while it has runs queued.", lambda line: line.min),
    "share_slots": ("The slots that are the {}'s own; absent where nothing is shared.", lambda line: line.share),
    "credit_slot_seconds": (
        "By how much the {} has had less than its share lately, halved every half-life; absent where nothing is"
        " shared.",
        lambda line: line.credit_slot_seconds,
    ),
}
_PAUSED: Numbers = {
    "paused": (
        "1 where nothing of the code location may start for this reason, else 0: it is paused, its circuit breaker"
        " is open, or its limit is 0.",
        lambda pair: _is_paused(*pair),
    ),
}
_OF_A_CODE_LOCATION: Numbers = {
    "max_queued_runs": (
        "The most queued runs, beyond which a submit is refused; absent for a {} without such a limit.",
        lambda line: line.max_queued,
    ),
    "oldest_queued_run_age_seconds": (
        "How long ago the oldest queued run of the {} was created; 0 with nothing queued.",
        lambda line: line.oldest_queued_seconds or 0,
    ),
}


_OF_ENDS: Numbers = {
    "ends": (
        "Runs that ended, by outcome: success, failure or canceled, which may be in the queue.",
        lambda ended: ended,
    ),
}
_OF_TOTALS: Numbers = {"starts": ("Runs that started.", lambda counted: counted.starts)}
_OF_THE_DAEMON: Numbers = {
    "dequeues": ("1 for the daemon that dequeues, or last did, by its machine and process.", lambda _: 1)
}
_OF_REFUSALS: Numbers = {
    "refusals": (
        "Submits that were refused because as many runs were queued as max_queued allows.",
        lambda refused: refused,
    ),
}


def families(scrape: Scrape) -> Iterator[Metric]:
    """The metrics of a scrape that has read the queue, with labels that are safe to show."""
    lines = {line.code_location: line for line in scrape.status.code_locations}
    groups = {group.group: group for group in scrape.status.groups}
    leaders = filter(None, [scrape.status.dequeued_by])
    # A code location that is known begins at 0, so that its first start makes a rate.
    totals = dict(sorted((dict.fromkeys(lines, Totals()) | dict(scrape.totals)).items()))
    refused = dict(sorted((dict.fromkeys(lines, 0) | dict(scrape.refused)).items()))
    ends = {(name, of.value): ended for name, counted in totals.items() for of, ended in counted.ends.items()}
    why = {(name, reason): (line, reason) for name, line in lines.items() for reason in PAUSE_REASONS}
    for metric in (
        *_numbers(GaugeMetricFamily, _OF_THE_SCRAPE, {(): scrape}),
        *_numbers(GaugeMetricFamily, _OF_THE_DAEMON, dict.fromkeys(leaders), "process"),
        *_numbers(GaugeMetricFamily, _OF_EACH | _OF_A_CODE_LOCATION, lines, LABEL),
        *_numbers(GaugeMetricFamily, {f"group_{name}": it for name, it in _OF_EACH.items()}, groups, "group"),
        *_numbers(GaugeMetricFamily, _PAUSED, why, LABEL, "reason"),
        *_numbers(CounterMetricFamily, _OF_REFUSALS, refused, LABEL),
        *_numbers(CounterMetricFamily, _OF_TOTALS, totals, LABEL),
        *_numbers(CounterMetricFamily, _OF_ENDS, ends, LABEL, "outcome"),
        _waits(totals),
    ):
        metric.samples = [
            sample._replace(labels={key: safe(value, LONGEST_CELL) for key, value in sample.labels.items()})
            for sample in metric.samples
        ]
        if metric.samples:
            yield metric


def _numbers(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    named: Numbers,
    of_each: Mapping[Any, Any],
    *labels: str,
) -> Iterator[Metric]:
    """Metrics with a sample of each thing that has such a number, by the values of its labels."""
    for name, (documentation, number) in named.items():
        of = "".join(labels[:1]).replace("_", " ")
        family = kind(f"dagster_clt_{name}", documentation.format(of), labels=labels)
        for values, one in of_each.items():
            value = number(one)
            if value is not None:
                family.add_metric([values] if isinstance(values, str) else values, _as_float(value))
        yield family


def _waits(totals: Mapping[str, Totals]) -> HistogramMetricFamily:
    waits = HistogramMetricFamily(
        "dagster_clt_queue_wait_seconds",
        "How long each run that started was queued, from its creation to the tick that started it.",
        labels=[LABEL],
    )
    bounds = [*map(str, WAIT_BOUNDS), "+Inf"]
    for name, counted in totals.items():
        waits.add_metric([name], list(zip(bounds, accumulate(counted.waits), strict=True)), counted.waited)
    return waits


def _is_paused(line: CodeLocationStatus, reason: str) -> bool:
    live = {Source.PAUSED.value: "pause", Source.BREAKER.value: "breaker"}.get(line.limit_from)
    return reason == (live or ("limit_zero" if line.limit == 0 else None))


def _as_float(number: float) -> float:
    """The number as Prometheus takes it: one too large for a float, which would end the scrape, is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
