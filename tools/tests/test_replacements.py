"""When a code location is reloaded after a replacement of its code server."""

from dagster_deploy_tools.replacements import SETTLED_SECONDS, Replacements

A, B = "code-location-a", "code-location-b"


def due(replacements: Replacements, answers: list[str | None], since: float = 0, name: str = A) -> list[float]:
    """Let code servers answer, one a second; at which seconds a reload was due, each of which succeeds."""
    seconds = []
    for second, server_id in enumerate(answers):
        if replacements.is_due(name, server_id, since + second) and server_id:
            replacements.was_read(name, server_id)
            seconds.append(since + second)
    return seconds


def test_each_code_location_is_reloaded_once_at_first() -> None:
    """Who starts in a rollout can't know what the webserver has read."""
    assert due(Replacements(), ["old"] * 20) == [SETTLED_SECONDS]


def test_a_replacement_brings_one_reload_after_the_old_server_has_gone() -> None:
    """While old and new answer in turns, a reload might read the old one again."""
    replacements = Replacements()
    due(replacements, ["old"] * 20)
    turns: list[str | None] = ["new", "old", "new", "old", "new"]
    assert due(replacements, [*turns, *["new"] * 20], since=100) == [104 + SETTLED_SECONDS]


def test_a_server_that_was_away_for_a_while_needs_none() -> None:
    """It is the same one; Dagster reconnects by itself."""
    replacements = Replacements()
    due(replacements, ["old"] * 20)
    assert due(replacements, [None, None, *["old"] * 20], since=100) == []


def test_a_server_that_went_away_before_it_settled_is_awaited_anew() -> None:
    """The time counts from its return."""
    assert due(Replacements(), ["new", "new", None, *["new"] * 20]) == [3 + SETTLED_SECONDS]


def test_a_reload_that_failed_is_due_again_after_a_while() -> None:
    """Not at once, so that the log isn't flooded."""
    replacements = Replacements()
    assert not replacements.is_due(A, "new", 0)
    assert replacements.is_due(A, "new", SETTLED_SECONDS)
    replacements.failed(A)
    assert due(replacements, ["new"] * 20, since=10) == [10 + SETTLED_SECONDS]


def test_code_locations_are_independent() -> None:
    """The replacement of one code server reloads no other code location."""
    replacements = Replacements()
    due(replacements, ["a"] * 20)
    due(replacements, ["b"] * 20, name=B)
    assert due(replacements, ["a2"] * 20, since=100)
    assert due(replacements, ["b"] * 20, since=100, name=B) == []
