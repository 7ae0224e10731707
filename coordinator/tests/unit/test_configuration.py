"""What `code_location_limits` accepts, and how it says what is wrong."""

from typing import Any

import pytest
import yaml
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import CodeLocationEntry, CodeLocationLimits, Sharing
from clt_queued_run_coordinator.config.parsing import parse, schema
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from clt_queued_run_coordinator.text.safe import describe
from dagster import DagsterInvalidConfigError
from dagster._serdes import ConfigurableClassData
from hypothesis import given
from hypothesis import strategies as st


def load(config: dict[str, Any]) -> CLTQueuedRunCoordinator:
    """Load the coordinator as Dagster does, its schema checked first."""
    data = ConfigurableClassData(
        "clt_queued_run_coordinator.coordinator", "CLTQueuedRunCoordinator", yaml.safe_dump(config)
    )
    coordinator = data.rehydrate(as_type=CLTQueuedRunCoordinator)
    assert isinstance(coordinator, CLTQueuedRunCoordinator)
    return coordinator


def test_the_whole_option() -> None:
    """As the reference shows it."""
    coordinator = load(
        {
            "max_concurrent_runs": 30,
            "code_location_limits": {
                "default": 5,
                "locations": {"a": 10, "b": {"limit": 20, "weight": 2}, "c": {"weight": 0.5}},
                "sharing": "fair",
            },
        }
    )
    assert coordinator.settings.max_concurrent_runs == 30
    assert coordinator.settings.code_location_limits == CodeLocationLimits(
        default=CodeLocationEntry(5),
        entries={"a": CodeLocationEntry(10), "b": CodeLocationEntry(20, 2.0), "c": CodeLocationEntry(5, 0.5)},
        sharing=Sharing("fair"),
    )


def test_everything_is_optional() -> None:
    """Dagster's own defaults hold: 10 runs, every 5 seconds, no limits."""
    coordinator = load({})
    assert coordinator.settings.max_concurrent_runs == 10
    assert coordinator.dequeue_interval_seconds == 5
    assert coordinator.settings.code_location_limits == CodeLocationLimits()


def test_every_option_of_dagsters_own_coordinator_is_taken() -> None:
    """Each reaches it."""
    coordinator = load(
        {
            "max_concurrent_runs": 3,
            "tag_concurrency_limits": [{"key": "database", "limit": 1}],
            "dequeue_interval_seconds": 7,
            "dequeue_use_threads": True,
            "dequeue_num_workers": 2,
            "max_user_code_failure_retries": 4,
            "user_code_failure_retry_delay": 9,
            "block_op_concurrency_limited_runs": {"enabled": True, "op_concurrency_slot_buffer": 1},
        }
    )
    assert coordinator.dequeue_interval_seconds == 7
    assert (coordinator.dequeue_use_threads, coordinator.dequeue_num_workers) == (True, 2)
    assert coordinator.op_concurrency_slot_buffer == 1
    assert list(coordinator.settings.tag_concurrency_limits) == [{"key": "database", "limit": 1}]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"maxConcurrentRuns": 5}, 'unexpected config entry "maxConcurrentRuns" at the root'),
        (
            {"tag_concurrency_limits": [{"key": "code_location", "limit": "three"}]},
            "at path root:tag_concurrency_limits[0]:limit",
        ),
        (
            {"code_location_limits": {"defualt": 5}},
            'unexpected config entry "defualt" at path root:code_location_limits',
        ),
        ({"code_location_limits": {"default": "five"}}, "at path root:code_location_limits:default"),
        ({"code_location_limits": {"default": True}}, "at path root:code_location_limits:default"),
        ({"code_location_limits": {"default": 1.5}}, "at path root:code_location_limits:default"),
        ({"code_location_limits": {"locations": {"a": "x"}}}, "root:code_location_limits:locations:'a'"),
        ({"code_location_limits": {"locations": {"a": {"limt": 3}}}}, "root:code_location_limits:locations:'a'"),
        ({"code_location_limits": {"sharing": "even"}}, "sharing is 'even'; it must be fifo or fair."),
        (
            {"code_location_limits": {"sharing": {"kind": "fair", "half_life": 0}}},
            "half_life is 0.0; it must be a number of seconds from 1",
        ),
        ({"code_location_limits": {"sharing": {"kind": "fair", "halflife": 9}}}, "halflife"),
        ({"code_location_limits": {"sharing": {"half_life": 9}}}, "kind"),
        (
            {"code_location_limits": {"queue_reading": "whole"}},
            "code_location_limits.queue_reading is 'whole'; it must be left out, because the daemon always reads"
            " only the queued runs that may start; remove the key.",
        ),
        ({"code_location_limits": {"default": -1}}, "code_location_limits.default is -1; it must be"),
        ({"code_location_limits": {"locations": {"a": -2}}}, "code_location_limits.locations.a is -2; it must be"),
        (
            {"code_location_limits": {"locations": {"a": {"limit": -2}}}},
            "code_location_limits.locations.a.limit is -2; it must be a whole number of runs, 0 or more.",
        ),
        (
            {"code_location_limits": {"locations": {"a": {"weight": 0}}}},
            "code_location_limits.locations.a.weight is 0.0; it must be a number above 0, from"
            " 0.000001 to 1000000.",
        ),
        (
            {"code_location_limits": {"locations": {"a": {"weight": -1.5}}}},
            "code_location_limits.locations.a.weight is -1.5; it must be a number above 0, from"
            " 0.000001 to 1000000.",
        ),
        (
            {"code_location_limits": {"locations": {"a": {"limit": 3, "min": 4}}}},
            "code_location_limits.locations.a.min is 4; it must be 3 or less, its limit; lower it, or raise the"
            " limit.",
        ),
        (
            {"code_location_limits": {"default": 3, "locations": {"a": {"min": 4}}}},
            "code_location_limits.locations.a.min is 4; it must be 3 or less, its limit; lower it, or raise the"
            " limit.",
        ),
        (
            {"code_location_limits": {"groups": {"team": {"locations": ["a"], "limit": 3, "min": 4}}}},
            "code_location_limits.groups.team.min is 4; it must be 3 or less, its limit; lower it, or raise the"
            " limit.",
        ),
        (
            {
                "code_location_limits": {
                    "locations": {"a": {"min": 2}, "b": {"min": 2}},
                    "groups": {"team": {"locations": ["a", "b"], "limit": 3}},
                }
            },
            "code_location_limits.groups.team.limit is 3; it must be 4 or more, the sum of its code locations'"
            " mins; raise it, or lower one of those.",
        ),
    ],
)
def test_a_bad_value_is_refused_when_the_coordinator_is_loaded(config: dict[str, Any], message: str) -> None:
    """The message names the key."""
    with pytest.raises((DagsterInvalidConfigError, ConfigurationError)) as refused:
        load(config)
    assert message in describe(refused.value)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            [1],
            " is [1]; it must be a mapping of default, locations, groups, sharing, slot, hold_back_after,"
            " page_url, waits_for_tag, daemon_connections, standby, queue_reading.",
        ),
        (
            {"defualt": 3},
            ".defualt is not an option; known are daemon_connections, default, groups, hold_back_after, locations,"
            " page_url, queue_reading, sharing, slot, standby, waits_for_tag.",
        ),
        ({5: 3}, ".5 is not an option; known are daemon_connections,"),
        ({"locations": {5: 3}}, ".locations: a key is 5; it must be a name, as text."),
        ({"locations": {"": 3}}, ".locations: a key is ''; it must be a name, as text."),
        ({"locations": {(1, 2): 3}}, ".locations: a key is (1, 2); it must be a name, as text."),
        (
            {"locations": {"a": None}},
            ".locations.a is null or left out; it must be a mapping of limit, weight, min,",
        ),
        ({"locations": {"a\n\x1b[31mb": -3}}, r".locations.a\n\x1b[31mb is -3; it must be a whole number of runs"),
        ({"default": True}, ".default is True; it must be a whole number of runs, 0 or more."),
        ({"default": "5"}, ".default is '5'; it must be a whole number of runs, 0 or more."),
        ({"default": {"min": 3}}, ".default.min is not an option; known are backfill_share, breaker, limit,"),
        ({"default": 10**400}, "; it must be 2147483647 or less."),
        ({"default": 10**5000}, ".default is a number too long to show; it must be 2147483647 or less."),
        ({"default": {"weight": float("nan")}}, ".default.weight is nan; it must be a number above 0"),
        ({"default": {"weight": float("inf")}}, ".default.weight is inf; it must be a number above 0"),
        ({"default": {"weight": 10**400}}, "; it must be a number above 0, from 0.000001 to 1000000."),
        ({"default": {"weight": 5e-324}}, ".default.weight is 5e-324; it must be a number above 0"),
        ({"default": {"weight": True}}, ".default.weight is True; it must be a number above 0"),
        ({"sharing": ""}, ".sharing is ''; it must be fifo or fair."),
        ({"sharing": {"kind": "fair", "half_life": 1e-9}}, "; for no fair sharing write `sharing: fifo`."),
        (
            {"page_url": "dagster.example.com"},
            "page_url is 'dagster.example.com'; it must be an address that begins",
        ),
        ({"page_url": "https://a\nb"}, "it must be an address that begins with http:// or https://"),
        ({"waits_for_tag": "no"}, "waits_for_tag is 'no'; it must be true or false"),
        ({"daemon_connections": -1}, "daemon_connections is -1; it must be a number of connections from 0 to 100"),
        (
            {"default": {"breaker": {}}},
            ".breaker.failures is null or left out; it must be a whole number of runs, 1",
        ),
        (
            {"default": {"breaker": {"failures": 1, "within": 10}}},
            ".breaker.within is 10; it must be a duration of",
        ),
        (
            {"default": {"windows": [{"cron": "0 8 * * *", "for": "367d"}]}},
            ".windows[0].for is '367d'; it must be a",
        ),
        ({"default": {"windows": [5]}}, ".default.windows[0] is 5; it must be a mapping of cron, for, limit,"),
        (
            {"default": {"max_per_job": {"jobs": {"x": None}}}},
            ".max_per_job.jobs.x is null or left out; it must be",
        ),
        (
            {"groups": {"t": {"locations": []}}},
            ".groups.t.locations is []; it must be a list of at least one code",
        ),
        (
            {"groups": {"t": {"locations": ["a", "a"]}}},
            ".locations is ['a', 'a']; it must be without 'a' a second",
        ),
        (
            {"groups": {"t": {"locations": ["a", " "]}}},
            ".groups.t.locations[1] is ' '; it must be a name, as text.",
        ),
    ],
)
def test_what_no_schema_has_checked_is_refused_in_one_line(option: Any, message: str) -> None:
    """Values of a Helm chart come as they were written: of any type, of any size, with any names."""
    with pytest.raises(ConfigurationError) as refused:
        parse(option)
    text = str(refused.value)
    assert text.startswith("code_location_limits")
    assert message in text
    assert text.isprintable()
    assert len(text) < 1000


def test_null_is_the_same_as_left_out() -> None:
    """In the schema as well. What an entry leaves out is the default's."""
    entry = dict.fromkeys(["limit", "weight", "min", "windows", "max_per_job", "breaker", "max_queued"])
    option: dict[str, Any] = {"groups": None, "sharing": None, "queue_reading": None, "locations": {"a": entry}}
    limits = load({"code_location_limits": {**option, "default": {"limit": 3, "weight": 2.0}}})
    assert limits.settings.code_location_limits.entry("a") == CodeLocationEntry(3, 2.0)
    assert parse({"default": None, "locations": None, "groups": None}) == CodeLocationLimits()


def test_a_queue_reading_of_narrowed_is_ignored_with_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It was the default of an option that is gone."""
    caplog.set_level("INFO", logger="dagster")
    assert parse({"queue_reading": "narrowed"}) == CodeLocationLimits()
    assert "code_location_limits.queue_reading is ignored; remove it." in caplog.messages


def test_dagsters_schema_describes_every_option() -> None:
    """At every level, as the UI and `dagster` show it."""

    def undescribed(name: str, config_type: Any) -> list[str]:
        inner = [
            part for part in ("inner_type", "non_scalar_type") if getattr(config_type, part, None) is not None
        ]
        found = [missing for part in inner for missing in undescribed(name, getattr(config_type, part))]
        for key, field in getattr(config_type, "fields", {}).items():
            found += [] if field.description else [f"{name}.{key}"]
            found += undescribed(f"{name}.{key}", field.config_type)
        return found

    assert undescribed("code_location_limits", schema().config_type) == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.floats(-2, 2) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["default", "locations", "groups", "sharing", "limit", "min", "weight", "code-location-a"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["default", "locations", "groups", "sharing", "other"]), anything))
def test_any_value_is_taken_or_refused_with_its_key(option: dict[str, Any]) -> None:
    """Called directly, without the schema before it."""
    message = "code_location_limits"
    try:
        parse(option)
    except ConfigurationError as refused:
        message = str(refused)
    assert message.startswith("code_location_limits")


@given(anything)
def test_any_value_is_taken_or_refused_by_the_class(option: Any) -> None:
    """Through Dagster's own configuration system."""
    message = "code_location_limits"
    try:
        load({"code_location_limits": option})
    except (DagsterInvalidConfigError, ConfigurationError) as refused:
        message = describe(refused)
    assert "code_location_limits" in message
