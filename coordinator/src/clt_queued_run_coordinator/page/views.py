"""What each page shows, from what was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from clt_queued_run_coordinator.page import words
from clt_queued_run_coordinator.page.changes import ACTIONS, Prepared
from clt_queued_run_coordinator.page.readings import Queue
from clt_queued_run_coordinator.page.shared import OLD_SECONDS, Reading
from clt_queued_run_coordinator.text.formats import duration

if TYPE_CHECKING:
    from clt_queued_run_coordinator.page.app import Pages


@dataclass(frozen=True)
class View:
    """A page.

    Attributes:
        queue: None if it could never be read.
        trouble: Why it isn't the queue of now, or why no run starts; empty if all is well.
        data: What only this page shows.
        is_live: Whether the script renews it.
    """

    template: str
    title: str
    queue: Queue | None
    trouble: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    is_live: bool = True

    def shows_the_same_as(self, other: "View") -> bool:
        """Whether two views show the same readings; what was read anew isn't compared."""
        pairs = zip((self.queue, *self.data.values()), (other.queue, *other.data.values()), strict=True)
        return all(one is another or (type(one) is str and one == another) for one, another in pairs)


def overview(pages: "Pages", query: Mapping[str, str]) -> View:
    """All code locations and groups."""
    data = {key: query.get(key, "") for key in ("order", "only", "find")}
    return _view("overview.html", "All code locations", pages.readings.queue(), data)


def code_location(pages: "Pages", query: Mapping[str, str]) -> View:
    """One code location."""
    name = query.get("name", "")
    reading = pages.readings.queue()
    lines = reading.value.status.code_locations if reading.value else []
    line = next((line for line in lines if line.code_location == name), None)
    if line is None and reading.value:
        text = f"No code location {name!r} is known here."
        return _view("message.html", "No such code location", reading, {"text": text}, 404)
    of_it = pages.readings.code_location(name) if line else Reading()
    history = pages.readings.history().value if line else None
    data = {"line": line, "of_it": of_it.value, "history": history or ()}
    return _view("location.html", name, reading, data)


def run(pages: "Pages", query: Mapping[str, str]) -> View:
    """One run, or the few whose ids begin alike."""
    run_id = query.get("id", "").strip()
    reading = pages.readings.queue()
    found = pages.readings.run(run_id) if run_id else Reading()
    if found.error:
        reading = Reading(reading.value, reading.read_at, found.error)
    status = 200 if (found.value and found.value.runs) or found.error else 404
    return _view("run.html", f"Run {run_id[:8]}", reading, {"run_id": run_id, "found": found.value}, status)


def changes(pages: "Pages", query: Mapping[str, str]) -> View:
    """Who changed what, when, why and until when."""
    del query
    history = pages.readings.history()
    return _view("changes.html", "Changes", pages.readings.queue(), {"history": history.value or ()})


def change(
    pages: "Pages",
    form: Mapping[str, str],
    token: str,
    *,
    prepared: Prepared | None = None,
    refusal: str = "",
    status: int = 200,
) -> View:
    """The form of a change, with what it would do or why it is refused."""
    action = ACTIONS.get(form["action"])
    if action is None:
        return View("message.html", "No such action", None, "", {"text": "There is no such action."}, 404)
    queue = pages.readings.queue()
    data = {"form": form, "action": action, "token": token, "prepared": prepared, "refusal": refusal}
    subject = next(filter(None, (form["run"][:8], form["location"], form["job"], form["backfill"])), "")
    view = _view("change.html", f"{action.title}: {subject or 'everything'}", queue, data, status)
    return replace(view, is_live=False)


def _view(template: str, title: str, reading: Reading[Queue], data: Mapping[str, Any], status: int = 200) -> View:
    trouble = ""
    if reading.value is None:
        trouble = f"The database can't be read: {reading.error}. This page shows the queue as soon as it can."
        status = 503
    elif reading.error or reading.age > OLD_SECONDS:
        why = reading.error or "it doesn't answer"
        trouble = f"The database can't be read: {why}. This is the picture of {duration(reading.age)} ago."
    else:
        trouble = words.daemon_trouble(reading.value)
    return View(template, title, reading.value, trouble, data, status)
