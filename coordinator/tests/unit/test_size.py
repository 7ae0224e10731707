"""How many slots a run takes, and what Kubernetes' quantities mean."""

import json
from typing import Any

import pytest
from clt_queued_run_coordinator.config.kinds import LARGEST_WHOLE_NUMBER, ConfigurationError
from clt_queued_run_coordinator.config.parsing import parse
from clt_queued_run_coordinator.config.quantity import amount
from clt_queued_run_coordinator.policy.queued_run import NO_CODE_LOCATION
from clt_queued_run_coordinator.policy.size import SIZE_TAGS, size, slots_of
from hypothesis import given
from hypothesis import strategies as st

CONFIG, OLDER = "dagster-k8s/config", "dagster-k8s/resource_requirements"
LIMITS = parse(
    {
        "slot": {"cpu": 1, "memory": "4Gi", "nvidia.com/gpu": 1},
        "locations": {"needy": {"run_needs": {"cpu": 3, "memory": "1Gi"}}},
    }
)


def of(resources: Any) -> dict[str, str]:
    """The tag with which a run asks for resources."""
    return {CONFIG: json.dumps({"container_config": {"resources": resources}})}


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        *(
            (2, 2),
            (0, 0),
            (0.5, 0.5),
            ("0", 0),
            ("500m", 0.5),
            ("1Ki", 1024),
            ("1.5Gi", 1.5 * 2**30),
            ("1e3", 1000),
        ),
        *(("1E3", 1000), ("1E", 10**18), ("12e-1", 1.2), ("5.", 5), (".5", 0.5), ("+1k", 1000), ("100n", 1e-7)),
        *((1e22, 1e22), (1e-05, 1e-05), ("1u", 1e-6)),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(quantity: Any, expected: float) -> None:
    """Numbers of YAML and JSON too."""
    assert float(amount(quantity)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " 1",
            "1 Gi",
            "1GiB",
            "1K i",
            "-1",
            -1,
            "1e",
            "e3",
            ".",
            "1e999",
            "٣",
            "1\n",
            "0x1",
            "1_0",
            True,
            None,
        ),
        *(float("nan"), float("inf"), 10**400, [], {}),
    ],
)
def test_everything_else_is_no_quantity(value: Any) -> None:
    """Whatever a tag or a values file holds."""
    with pytest.raises(ValueError, match="a quantity as Kubernetes writes it"):
        amount(value)


@pytest.mark.parametrize(
    ("code_location", "tags", "expected"),
    [
        ("a", {}, 1),
        ("a", of({"requests": {"cpu": "500m", "memory": "15Gi"}}), 4),
        ("a", of({"requests": {"cpu": "500m", "memory": "4Gi", "ephemeral-storage": "1Ti"}}), 1),
        ("a", of({"requests": {"memory": "4097Mi"}}), 2),
        ("a", of({"requests": {"nvidia.com/gpu": 2}}), 2),
        ("a", of({"requests": {"memory": "8Gi"}, "limits": {"memory": "64Gi", "cpu": 3}}), 3),
        ("needy", of({"requests": {"memory": "8Gi"}}), 3),
        ("needy", of({"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"cpu": 9}}), 2),
        (NO_CODE_LOCATION, {}, 1),
        ("a", {CONFIG: json.dumps({"containerConfig": {"resources": {"requests": {"cpu": 2}}}})}, 2),
        ("a", {**of({"requests": {"cpu": 9}}), OLDER: json.dumps({"limits": {"cpu": 5}})}, 5),
        ("a", {"slots": "3"}, 3),
        ("a", {"slots": "3", **of({"requests": {"cpu": 5}})}, 5),
        ("a", {"slots": "7", "takes_slots": "3"}, 3),
        ("a", {"takes_slots": "1", **of({"requests": {"cpu": 5}})}, 5),
        ("a", of({"requests": {"memory": "9999999E"}}), LARGEST_WHOLE_NUMBER),
        ("a", of({"requests": {"cpu": None}}), 1),
    ],
)
def test_the_largest_need_counts(code_location: str, tags: dict[str, str], expected: int) -> None:
    """In slots, rounded up."""
    assert size(LIMITS, code_location, tags) == (expected, ())


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"slots": "0"}, "the tag slots is '0'; it must be a whole number"),
        ({"slots": "-2"}, "the tag slots is '-2'"),
        ({"slots": "2.5"}, "the tag slots is '2.5'"),
        ({"slots": "٣"}, "the tag slots is"),
        ({"slots": "9" * 5000}, "the tag slots is"),
        ({"slots": ""}, "the tag slots is ''"),
        ({CONFIG: ""}, "no JSON object"),
        ({CONFIG: "[]"}, "no JSON object"),
        ({CONFIG: "[" * 100_000}, "no JSON object"),
        (of({"requests": {"memory": "15GiB"}}), "requests.memory in its tags is '15GiB'; it must be a quantity"),
        (of({"requests": {"m\nem": "x", "memory": -1}}), "requests.memory in its tags is '-1'"),
    ],
)
def test_what_is_wrong_takes_one_slot_and_is_told(tags: dict[str, str], told: str) -> None:
    """In a line that is safe to show."""
    slots, wrong = size(LIMITS, "a", tags)
    assert slots == 1
    assert told in wrong[0]
    assert all(line.isprintable() and len(line) < 300 for line in wrong)


def test_what_does_not_count_is_not_told() -> None:
    """However many resources a run asks for that no slot holds, there is no line for each."""
    resources = {"requests": {f"r{number}": "x" for number in range(1000)} | {"memory": "9Gi"}}
    assert size(LIMITS, "a", of(resources)) == (3, ())


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from(SIZE_TAGS),
        st.text(max_size=20)
        | json_values.map(json.dumps)
        | json_values.map(lambda value: json.dumps({"container_config": value}))
        | json_values.map(lambda value: json.dumps({"container_config": {"resources": {"requests": value}}})),
    )
)
def test_any_tags_give_a_size(tags: dict[str, str]) -> None:
    """At least one slot, and no more than a number of runs may be."""
    assert 1 <= slots_of(LIMITS, "needy", tags) <= LARGEST_WHOLE_NUMBER


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"slot": {}}, "slot is {}; it must be left out, or a mapping of at least one resource"),
        ({"slot": {"cpu": 0}}, "slot.cpu is 0; it must be a quantity"),
        ({"slot": {"memory": "4GiB"}}, "slot.memory is '4GiB'; it must be a quantity"),
        ({"default": {"run_needs": {"cpu": -1}}}, "default.run_needs.cpu is -1; it must be a quantity"),
        ({"slot": 3}, "slot is 3; it must be a mapping of names"),
    ],
)
def test_a_wrong_quantity_in_the_configuration_is_refused(option: Any, message: str) -> None:
    """With its key."""
    with pytest.raises(ConfigurationError) as refused:
        parse(option)
    assert message in str(refused.value)
