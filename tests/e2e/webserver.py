"""The webserver's GraphQL, through a port-forward that is made anew when the webserver's pod goes."""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import requests
import tenacity
from gql.transport.exceptions import TransportError
from harness.graphql import GraphQL, GraphQLError, Launch
from harness.waiting import wait_until

from tests.e2e.cluster import Cluster

SERVICE = "service/dagster-dagster-webserver"
PORT = 3000

_EVENTS = """
query($id: ID!, $after: String) {
  logsForRun(runId: $id, afterCursor: $after) {
    ... on Error { message }
    ... on EventConnection { cursor hasMore events { ... on MessageEvent { timestamp eventType } } }
  }
}
"""
_IMAGES = """
{
  workspaceOrError {
    ... on Error { message }
    ... on Workspace { locationEntries { name displayMetadata { key value } } }
  }
}
"""
_RUNS = """
query($filter: RunsFilter!) {
  runsOrError(filter: $filter) {
    ... on Error { message }
    ... on Runs { results {
      id status parentRunId rootRunId tags { key value } repositoryOrigin { repositoryLocationName }
    } }
  }
}
"""


class Unreachable(Exception):  # noqa: N818 - what is the case, not what went wrong
    """No port-forward to the webserver: its pod is gone or not ready."""


_once_more = tenacity.retry(
    retry=tenacity.retry_if_exception_type((requests.RequestException, TransportError, GraphQLError, Unreachable)),
    stop=tenacity.stop_after_delay(240),
    wait=tenacity.wait_fixed(2),
    before_sleep=lambda state: state.args[0].close(),
    reraise=True,
)
"""Ask again while the webserver or its database is being replaced."""


class Webserver:
    """A client of the webserver.

    Args:
        cluster: Where it is.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._forward: subprocess.Popen[str] | None = None
        self._url = ""

    def close(self) -> None:
        """End the port-forward."""
        if self._forward:
            self._forward.kill()
            self._forward.wait()
            self._forward = None

    def _graphql(self) -> GraphQL:
        if self._forward is None or self._forward.poll() is not None:
            self.close()
            self._forward = subprocess.Popen(
                ["kubectl", "--namespace", self._cluster.namespace, "port-forward", SERVICE, f":{PORT}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            line = self._forward.stdout.readline() if self._forward.stdout else ""
            address = re.search(r"127\.0\.0\.1:\d+", line)
            if not address:
                raise Unreachable(SERVICE)
            self._url = f"http://{address[0]}"
        return GraphQL(self._url)

    def ask_once(self, query: str, **variables: Any) -> Any:
        """The answer to a query or mutation that has one field; a lost connection is an error."""
        return self._graphql().ask(query, **variables)

    @_once_more
    def ask(self, query: str, **variables: Any) -> Any:
        """The same, asked again while the webserver or its database is being replaced."""
        return self.ask_once(query, **variables)

    def launch(self, launches: Sequence[Launch]) -> list[str]:
        """Launch runs, with one request, as soon as the webserver has loaded their code locations; their ids."""
        names = {launch.code_location for launch in launches}
        wait_until(f"the webserver has loaded {', '.join(sorted(names))}", lambda: self.has_loaded(names), every=1)
        return self._graphql().launch_several(launches)

    @_once_more
    def has_loaded(self, code_locations: Iterable[str]) -> bool:
        """Whether the webserver has loaded these code locations."""
        return self._graphql().has_loaded(code_locations)

    def wait_for_images(self, images: Mapping[str, str]) -> None:
        """Wait until the webserver gives these images to the runs that it launches, by code location."""

        def given() -> bool:
            entries = self.ask(_IMAGES)["locationEntries"]
            found = {
                entry["name"]: pair["value"]
                for entry in entries
                for pair in entry["displayMetadata"]
                if pair["key"] == "image"
            }
            return found == images

        wait_until(f"runs get the images {', '.join(images.values())}", given, every=1)

    def runs(self, run_ids: Sequence[str] | None = None, **run_filter: Any) -> list[dict[str, Any]]:
        """The runs that a filter finds, the newest first, with their tags as a dict."""
        if run_ids is not None:
            run_filter["runIds"] = list(run_ids)
        found = self.ask(_RUNS, filter=run_filter)["results"]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def events(self, run_id: str) -> list[tuple[str, float]]:
        """A run's events: type, and time in seconds since the epoch."""
        found: list[tuple[str, float]] = []
        cursor = None
        while True:
            page = self.ask(_EVENTS, id=run_id, after=cursor)
            found += [
                (event["eventType"], float(event["timestamp"]) / 1000)
                for event in page["events"]
                if event.get("eventType")
            ]
            if not page["hasMore"]:
                return found
            cursor = page["cursor"]
