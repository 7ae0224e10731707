"""What the measured rollout is told by."""

import pytest
from rich.console import Console

from tests.e2e.benchmarks.rollout import COMPONENTS, Pods, Rollout, Submit, component, summary, timeline

BEGAN = 1000.0


def rollout(**changes: object) -> Rollout:
    """An upgrade of ten seconds, with a launch every five: the second failed, the third waited for the daemon."""
    seen: dict[str, object] = {
        "began": BEGAN,
        "ended": BEGAN + 10,
        "submits": [
            Submit(BEGAN - 5, 0.1, "first", None),
            Submit(BEGAN, 10.0, None, "TimeoutError: timed out"),
            Submit(BEGAN + 5, 0.4, "third", None),
        ],
        "dequeued": {"first": BEGAN - 4, "third": BEGAN + 8},
        "requeued": 0,
        "lost": [],
        "in_progress": ["SUCCESS"],
        "image": "image:next",
        "pods": [
            Pods(BEGAN - 1, dict.fromkeys(COMPONENTS, 1), {}),
            Pods(BEGAN + 4, {COMPONENTS[1]: 1}, {COMPONENTS[1]: 1}),
        ],
    }
    return Rollout(**(seen | changes))  # type: ignore[arg-type]


def test_the_summary_names_gaps_and_failures() -> None:
    """Only launches that were answered count as answers."""
    found = summary(rollout())
    assert found["failed launches"] == 1
    assert found["longest answer to a launch, seconds"] == pytest.approx(0.4)
    assert found["longest time without a dequeue, seconds"] == pytest.approx(12)
    assert found["longest wait for a dequeue, seconds"] == pytest.approx(3)


def test_the_timeline_has_a_row_for_each_step() -> None:
    """With the last pods that were seen by then, the launches and the dequeues."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(timeline(rollout()))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines() if "│" in line]
    assert rows == [
        ["-5", "old", "old", "old", "old", "1", "0", "0.1", "1"],
        ["0", "none", "old + new", "none", "none", "0", "1", "10.0", "0"],
        ["5", "none", "old + new", "none", "none", "1", "0", "0.4", "1"],
    ]


def test_pods_are_told_apart_by_their_labels() -> None:
    """The daemon's has both labels."""
    assert component({"component": "dagster-daemon", "deployment": "daemon"}) == "dagster-daemon"
    assert component({"component": "user-deployments", "deployment": "code-location-a"}) == "code-location-a"
    assert component({}) == ""
