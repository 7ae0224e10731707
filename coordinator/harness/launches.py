"""Launches of the sample code locations' jobs that work for some seconds."""

from harness.graphql import Launch

A, B = "code-location-a", "code-location-b"
JOBS = {A: ("refresh_search_index", "collect"), B: ("close_books", "balance")}
"""The job of each code location, and its op that does the work."""


def launch_of(code_location: str, seconds: float) -> Launch:
    """A run of a code location that works for some seconds."""
    job, op = JOBS[code_location]
    return Launch(code_location, job, {"ops": {op: {"config": {"seconds": seconds}}}})
