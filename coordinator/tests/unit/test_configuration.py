"""What `code_location_limits` accepts, and how it says what is wrong."""

from typing import Any

import pytest
import yaml
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.config.options import CodeLocationEntry, CodeLocationLimits, Sharing
from clt_queued_run_coordinator.config.parsing import parse
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
        sharing=Sharing.FAIR,
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
        ({"code_location_limits": {"sharing": {"kind": "fair", "half_life": 0}}}, "half_life is 0.0; it must be"),
        ({"code_location_limits": {"sharing": {"kind": "fair", "halflife": 9}}}, "halflife"),
        ({"code_location_limits": {"sharing": {"half_life": 9}}}, "kind"),
        ({"code_location_limits": {"queue_reading": "some"}}, "at path root:code_location_limits:queue_reading"),
        ({"code_location_limits": {"default": -1}}, "code_location_limits.default is -1; it must be"),
        ({"code_location_limits": {"locations": {"a": -2}}}, "code_location_limits.locations.a is -2; it must be"),
        (
            {"code_location_limits": {"locations": {"a": {"limit": -2}}}},
            "code_location_limits.locations.a.limit is -2; it must be a whole number of runs, 0 or more.",
        ),
        (
            {"code_location_limits": {"locations": {"a": {"weight": 0}}}},
            "code_location_limits.locations.a.weight is 0.0; it must be a number above 0.",
        ),
        (
            {"code_location_limits": {"locations": {"a": {"weight": -1.5}}}},
            "code_location_limits.locations.a.weight is -1.5; it must be a number above 0.",
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
    message = "code_location_limits."
    try:
        parse(option)
    except ConfigurationError as refused:
        message = str(refused)
    assert message.startswith("code_location_limits.")


@given(anything)
def test_any_value_is_taken_or_refused_by_the_class(option: Any) -> None:
    """Through Dagster's own configuration system."""
    message = "code_location_limits"
    try:
        load({"code_location_limits": option})
    except (DagsterInvalidConfigError, ConfigurationError) as refused:
        message = describe(refused)
    assert "code_location_limits" in message
