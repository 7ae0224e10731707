"""Which tag a run gets."""

from clt_queued_run_coordinator.coordinator import (
    CLT_TAG_KEY,
    CLTQueuedRunCoordinator,
    CodeLocationTaggingQueuedRunCoordinator,
)


def test_both_names_are_the_same_class() -> None:
    """The long name is the same class."""
    assert CodeLocationTaggingQueuedRunCoordinator is CLTQueuedRunCoordinator
    assert CLT_TAG_KEY == "code_location"
