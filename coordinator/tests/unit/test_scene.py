"""When a flood of runs is over."""

import pytest
from dagster import DagsterRunStatus as Status

pytest.importorskip("gql", reason="the environments of older Dagsters start no deployments")

from tests.faults.scene import is_to_come

WILL, WONT, RETRIED = (
    {"dagster/will_retry": "true"},
    {"dagster/will_retry": "false"},
    {"dagster/auto_retry_run_id": "x"},
)


@pytest.mark.parametrize(
    ("status", "tags", "to_come"),
    [
        (Status.QUEUED, {}, True),
        (Status.CANCELING, {}, True),
        (Status.SUCCESS, {}, False),
        (Status.CANCELED, WILL, False),
        (Status.FAILURE, {}, True),
        (Status.FAILURE, WILL, True),
        (Status.FAILURE, WONT, False),
        (Status.FAILURE, {**WILL, **RETRIED}, False),
    ],
)
def test_a_failed_run_is_over_when_its_retry_is_there_or_ruled_out(
    status: Status, tags: dict[str, str], to_come: bool
) -> None:
    """Dagster says so only after it has stored the failure."""
    assert is_to_come(status, tags) is to_come
