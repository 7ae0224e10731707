"""What people change on the page: a form, a preview of its effect, and then the same writing as the commands'."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from clt_queued_run_coordinator._dagster import DagsterInstance
from clt_queued_run_coordinator.config.duration import end_of
from clt_queued_run_coordinator.config.kinds import LARGEST_WHOLE_NUMBER
from clt_queued_run_coordinator.operate import changing, lookup
from clt_queued_run_coordinator.page.access import Viewer
from clt_queued_run_coordinator.page.readings import Opened, Queue
from clt_queued_run_coordinator.policy.changes import EVERY_CODE_LOCATION, Kind
from clt_queued_run_coordinator.store import live
from clt_queued_run_coordinator.text.formats import count
from clt_queued_run_coordinator.text.refusal import RefusalError
from clt_queued_run_coordinator.text.safe import typed_line

T = TypeVar("T")

FIELDS = ("action", "location", "run", "job", "backfill", "number", "until", "reason")
"""The fields of the form; each is text."""


@dataclass(frozen=True)
class Action:
    """Something that can be done.

    Attributes:
        number: What the number is that it needs; empty if it needs none.
        ends: Whether it can end by itself.
        kind: The kind of change; None for a priority.
        value: The value of the change, where that isn't the number.
    """

    title: str
    number: str = ""
    ends: bool = False
    kind: Kind | None = None
    value: bool | None = None


ACTIONS = {
    "pause": Action("Pause", ends=True, kind=Kind.PAUSED, value=True),
    "resume": Action("Resume", kind=Kind.PAUSED, value=False),
    "limit": Action("Set the limit", "The most runs in progress at once", ends=True, kind=Kind.LIMIT),
    "clear-limit": Action("Take the limit back", kind=Kind.LIMIT),
    "priority": Action("Set a priority", "Priority; runs with a higher one go first, and 0 is the usual one"),
}


class NotAllowedError(RefusalError):
    """Somebody may not change this."""


@dataclass(frozen=True)
class Prepared:
    """A change that was checked.

    Attributes:
        lines: What it does: of each code location its name, what holds now, and what will.
        code_location: The one that it is about; None for several.
        write: Makes it.
    """

    lines: Sequence[tuple[str, str, str]]
    code_location: str | None
    write: Callable[[], object]


def prepare(form: Mapping[str, str], viewer: Viewer, opened: Opened, queue: Queue) -> Prepared:
    """Check what somebody wants, who has filled in all of `FIELDS`, against the queue as it was just read.

    Raises:
        RefusalError: It can't be done, or they may not do it; the message says why.
    """
    action = ACTIONS.get(form["action"])
    if action is None:
        raise RefusalError("There is no such action.")
    reason = _field("Why", typed_line, form["reason"])
    number = _field(action.number, _whole_number, form["number"]) if action.number else None
    if action.kind is None:
        return _priority(form, viewer, opened[0], queue, priority=number or 0, reason=reason)
    if number is not None and not 0 <= number <= LARGEST_WHOLE_NUMBER:
        raise RefusalError(f"The limit is {number}; it must be 0 or more, and a number of runs.")
    until = _field("Until when", end_of, form["until"]) if action.ends and form["until"].strip() else None
    (instance, coordinator), name, state = opened, form["location"] or None, queue.now.state
    if name is None and action.kind is not Kind.PAUSED:
        raise RefusalError("A limit is one code location's; name it.")
    _refuse_others(viewer, queue, [name] if name else None)
    known = changing.code_locations(instance, coordinator.settings, name)
    what = (action.kind, name or EVERY_CODE_LOCATION, number if action.number else action.value, until)
    how: live.How = {"reason": reason, "by": viewer.user, "known": () if name else known}
    change, changes = live.preview(instance, *what, **how)
    after = replace(state, live=changes)
    lines = [
        (each, changing.limit_in_words(state.in_force(each)), changing.effect(after, each, change))
        for each in known
    ]
    return Prepared(lines, name, lambda: live.write(instance, *what, **how))


def _priority(
    form: Mapping[str, str], viewer: Viewer, instance: DagsterInstance, queue: Queue, *, priority: int, reason: str
) -> Prepared:
    if run := form["run"]:
        of, chosen = f"run {run}", lookup.runs_by_id(instance, [run])
    elif job := form["job"]:
        of, chosen = f"job {job}", lookup.runs_of_job(instance, job, form["location"] or None)
    else:
        of, chosen = f"backfill {form['backfill']}", lookup.runs_of_backfill(instance, form["backfill"])
    by_name = changing.queued_by_code_location(instance, chosen)
    _refuse_others(viewer, queue, list(by_name))
    lines = [
        (name, f"{count(runs, 'run')} of {of}", f"priority {priority}") for name, runs in sorted(by_name.items())
    ]
    name = next(iter(by_name)) if len(by_name) == 1 else None
    return Prepared(
        lines, name, lambda: changing.prioritize(instance, chosen, priority, of, reason, by=viewer.user)
    )


def _refuse_others(viewer: Viewer, queue: Queue, code_locations: Sequence[str] | None) -> None:
    """Refuse whoever may not change some code locations; None stands for all, which only platform people may."""
    limits = queue.now.state.settings.code_location_limits
    if not (viewer.is_platform or viewer.may_change(limits, code_locations or ())):
        what = ", ".join(code_locations) if code_locations else "all code locations"
        raise NotAllowedError(f"You may not change {what}: none of your groups is among the operators.")


def _field(label: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text.strip())
    except ValueError as error:
        raise RefusalError(f"{label}: {error}.") from error


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a whole number") from error
