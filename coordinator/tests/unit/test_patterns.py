"""Names with a `*`: which entry and which group count for a code location."""

import pytest
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import CodeLocationLimits
from clt_queued_run_coordinator.config.parsing import parse
from clt_queued_run_coordinator.config.patterns import Names
from clt_queued_run_coordinator.config.settings import Settings
from clt_queued_run_coordinator.policy.changes import LiveChanges
from clt_queued_run_coordinator.policy.in_force import Source, resolve
from clt_queued_run_coordinator.policy.queue_state import QueueState


@pytest.mark.parametrize(
    ("code_location", "names", "closest"),
    [
        ("pr-1", ["pr-*", "pr-1", "*"], "pr-1"),
        ("pr-1", ["*", "pr-*"], "pr-*"),
        ("pr-1-billing", ["pr-*", "*-billing"], "*-billing"),
        ("pr-1", ["p*1", "pr*", "*-1"], "*-1"),
        ("pr-", ["pr-*"], "pr-*"),
        ("xpr-1", ["pr-*"], None),
        ("PR-1", ["pr-*"], None),
        ("prä-1\n", ["pr*"], "pr*"),
        ("pr-*", ["pr-*", "pr-**"], "pr-*"),
        ("a1", ["a[0-9]", "a?"], None),
        ("a[0-9]x", ["a[0-9]*"], "a[0-9]*"),
        ("", ["*"], None),
    ],
)
def test_the_name_itself_counts_and_then_the_longest_pattern(
    code_location: str, names: list[str], closest: str | None
) -> None:
    """Of equally long ones the first in the order of the alphabet; only `*` is special; case counts."""
    assert Names(names).closest(code_location) == closest


def test_many_stars_take_no_time() -> None:
    """A pattern doesn't try each way to match."""
    assert Names(["*a" * 30 + "b"]).closest("a" * 5000) is None


def limits() -> CodeLocationLimits:
    """Previews, each limited, and all of them together."""
    return parse(
        {
            "default": {"limit": 5, "max_queued": 100},
            "locations": {"pr-*": {"limit": 1, "max_queued": 20}, "pr-7": {"weight": 2}},
            "groups": {
                "previews": {"locations": ["pr-*"], "limit": 3, "operators": ["developers"]},
                "sales": {"locations": ["orders", "pr-9"]},
            },
        }
    )


def test_one_entry_counts() -> None:
    """What it leaves out comes from the default and not from another pattern."""
    entry = limits().entry
    assert (entry("pr-1").limit, entry("pr-1").max_queued) == (1, 20)
    assert (entry("pr-7").limit, entry("pr-7").max_queued) == (5, 100)
    assert entry("billing").limit == 5


@pytest.mark.parametrize(
    ("code_location", "source"),
    [("pr-1", Source.CONFIGURATION), ("pr-7", Source.CONFIGURATION), ("billing", Source.DEFAULT)],
)
def test_a_limit_by_pattern_comes_from_the_configuration(code_location: str, source: Source) -> None:
    """As `dagster-clt status` says."""
    assert resolve(code_location, Settings(10, limits()), LiveChanges()).source is source


def test_a_code_location_is_in_one_group() -> None:
    """By its name before a pattern; operators of the group may change it, although it has no runs yet."""
    names = ["pr-1", "pr-9", "orders", "billing"]
    assert [limits().group_name(name) for name in names] == ["previews", "sales", "sales", None]
    assert limits().operators("pr-1") == {"developers"}


def test_a_pattern_is_no_code_location() -> None:
    """The queue has limits for those with runs and those that are named, not for `pr-*`."""
    state = QueueState(Settings(10, limits()), queued={"pr-1": 2, "pr-9": 1, "": 1})
    assert state.limits.keys() == {"pr-1", "pr-7", "pr-9", "orders"}
    assert state.settings.code_location_limits.groups["previews"].locations == ("pr-*", "pr-1")
    assert state.claims.groups[next(key for key in state.claims.groups if "previews" in key)].startable == 2


def test_a_pattern_reserves_no_slots() -> None:
    """Nobody knows how many code locations it has."""
    with pytest.raises(ConfigurationError) as refused:
        parse({"locations": {"pr-*": {"limit": 2, "min": 1}}})
    assert str(refused.value) == (
        "code_location_limits.locations.pr-*.min is 1; it must be left out: a pattern reserves no slots."
    )
