"""Launches of the sample code locations' jobs that hold a slot for some seconds."""

from harness.graphql import Launch

A, B = "code-location-a", "code-location-b"
JOBS = {A: ("refresh_search_index", "collect"), B: ("close_books", "balance")}
"""The job of each code location, and its op that can wait."""


def launch_of(code_location: str, seconds: float) -> Launch:
    """A run of a code location that holds its slot for some seconds, and uses no core meanwhile."""
    job, op = JOBS[code_location]
    return Launch(code_location, job, {"ops": {op: {"config": {"rows": 1, "seconds": seconds}}}})
