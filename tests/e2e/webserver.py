"""The webserver's GraphQL, through a port-forward that is made anew when its pod goes."""

import logging
import re
import subprocess
import time
from typing import Any

import requests

from tests.e2e.cluster import Cluster, await_

log = logging.getLogger(__name__)
SERVICE = "service/dagster-dagster-webserver"
PORT = 3000

EVENTS = """
query($id: ID!, $after: String) {
  logsForRun(runId: $id, afterCursor: $after) {
    ... on EventConnection {
      cursor hasMore events { ... on MessageEvent { timestamp eventType message } }
    }
  }
}
"""
RUNS = """
query($filter: RunsFilter!, $cursor: String) {
  runsOrError(filter: $filter, cursor: $cursor, limit: 200) {
    ... on Runs { results {
      id status jobName parentRunId rootRunId tags { key value }
      repositoryOrigin { repositoryLocationName }
    } }
  }
}
"""
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""


class Webserver:
    """A client of the webserver.

    Args:
        cluster: Where it is.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._forward: subprocess.Popen[str] | None = None
        self._address = ""

    def close(self) -> None:
        """End the port-forward."""
        if self._forward:
            self._forward.kill()
            self._forward.wait()
            self._forward = None

    def _open(self) -> str:
        if self._forward and self._forward.poll() is None:
            return self._address
        self._forward = subprocess.Popen(
            ["kubectl", "--namespace", self.cluster.namespace, "port-forward", SERVICE, f":{PORT}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._forward.stdout
        line = self._forward.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert port, f"no port-forward to {SERVICE}"
        self._address = f"http://127.0.0.1:{port[1]}/graphql"
        return self._address

    def answers(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask once; what is wrong is an AssertionError."""
        try:
            answer = requests.post(self._open(), json={"query": query, "variables": variables}, timeout=60)
        except requests.RequestException as error:
            self.close()
            raise AssertionError(f"the webserver didn't answer: {error}") from None
        assert answer.ok, f"HTTP {answer.status_code}: {answer.text[:500]}"
        body = answer.json()
        assert not body.get("errors"), str(body["errors"])[:1000]
        data: dict[str, Any] = body["data"]
        return data

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask until there is an answer: a webserver that is being replaced drops its connections."""
        return await_("the webserver answers", lambda: self.answers(query, **variables), quiet=True)

    def launch(self, location: str, job: str, run_config: dict[str, Any] | None = None) -> str:
        """Launch a run; its id."""
        params = {
            "selector": {
                "repositoryLocationName": location,
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "runConfigData": run_config or {},
        }
        launched = self.answers(LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id: str = launched["run"]["id"]
        return run_id

    def runs(self, **run_filter: Any) -> list[dict[str, Any]]:
        """The runs that a filter finds, the newest first, with their tags as a dict."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.query(RUNS, filter=run_filter, cursor=found[-1]["id"] if found else None)
            results = page["runsOrError"]["results"]
            found += [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in results]
            if len(results) < 200:
                return found

    def events(self, run_id: str) -> list[tuple[str, float]]:
        """A run's events: type and time in seconds."""
        found: list[tuple[str, float]] = []
        cursor = None
        while True:
            page = self.query(EVENTS, id=run_id, after=cursor)["logsForRun"]
            found += [
                (event["eventType"], float(event["timestamp"]) / 1000)
                for event in page["events"]
                if event.get("eventType")
            ]
            if not page["hasMore"]:
                return found
            cursor = page["cursor"]

    def now(self) -> float:
        """The time as the event log has it, in seconds."""
        return time.time()
