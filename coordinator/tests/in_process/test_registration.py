"""Launches that come while another thread registers the coordinator with its instance."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from clt_queued_run_coordinator import coordinator
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.registration import Registration, refuse_unsupported_storage
from dagster import DagsterRun
from tests.run_queue import A, RunQueue, stored_run_queue


@contextmanager
def launched_meanwhile(queue: RunQueue) -> Iterator[tuple[Future[DagsterRun], Future[DagsterRun]]]:
    """The first launch of a process, and one that comes while the first registers the coordinator."""
    begun, waiting = threading.Event(), threading.Event()
    check, wait = refuse_unsupported_storage, Registration.wait

    def check_slowly(storage: object) -> None:
        begun.set()
        waiting.wait()
        check(storage)

    def wait_and_say_so(registration: Registration) -> None:
        waiting.set()
        wait(registration)

    with (
        mock.patch.object(coordinator, "refuse_unsupported_storage", check_slowly),
        mock.patch.object(Registration, "wait", wait_and_say_so),
        ThreadPoolExecutor(2) as threads,
    ):
        try:
            first = threads.submit(queue.submit, A)
            begun.wait()
            yield first, threads.submit(queue.submit, A)
        finally:
            waiting.set()


def test_a_launch_waits_for_the_registration() -> None:
    """Dagster lets it have the coordinator before that."""
    with stored_run_queue({}, {}) as queue:
        with launched_meanwhile(queue) as launches:
            for launch in reversed(launches):
                launch.result()
        assert queue.queued(A) == 2


def test_a_launch_that_waits_is_refused_with_the_first_one() -> None:
    """With the same message."""
    config = {"code_location_limits": {"default": 1}}
    replaced: dict[str, Any] = {"runs": {"tag_concurrency_limits": []}}
    with stored_run_queue(config, replaced) as queue, launched_meanwhile(queue) as launches:
        for launch in reversed(launches):
            with pytest.raises(ConfigurationError, match="remove the key"):
                launch.result()
