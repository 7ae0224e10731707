"""Talks to the webserver over GraphQL, as the UI does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.requests import RequestsHTTPTransport

REPOSITORY = "__repository__"
"""Dagster's name for the one repository of a `Definitions` object."""


class GraphQLError(Exception):
    """The webserver answered with an error."""


@dataclass(frozen=True)
class Launch:
    """A run to be launched.

    Attributes:
        code_location: The code location of the job.
        job: The name of the job.
        run_config: The run's configuration.
        tags: Tags to launch it with.
    """

    code_location: str
    job: str
    run_config: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """The launch as GraphQL's `ExecutionParams`."""
        return {
            "selector": {**repository(self.code_location), "jobName": self.job},
            "runConfigData": dict(self.run_config),
            "executionMetadata": {"tags": tag_list(self.tags)},
        }


def repository(code_location: str) -> dict[str, str]:
    """The fields with which GraphQL selects a code location."""
    return {"repositoryLocationName": code_location, "repositoryName": REPOSITORY}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as GraphQL takes them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


class GraphQL:
    """A client of one webserver that threads may share.

    Args:
        url: The webserver's address, without a path.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"

    def ask(self, query: str, **variables: Any) -> Any:
        """Send a query or mutation with a single field, and return that field's value.

        Raises:
            GraphQLError: The answer is one of Dagster's error types.
        """
        # A new client for each request, because threads can't share one.
        client = Client(transport=RequestsHTTPTransport(url=self._url, timeout=120))
        (answer,) = client.execute(GraphQLRequest(query, variable_values=variables)).values()
        if isinstance(answer, dict) and "message" in answer:
            raise GraphQLError(answer["message"])
        return answer

    def load_statuses(self) -> dict[str, str]:
        """The load status of each code location in the workspace; ERROR if it can't be loaded."""
        entries = self.ask(_LOAD_STATUSES)["locationEntries"]
        return {
            entry["name"]: "ERROR" if entry["locationOrLoadError"] == _LOAD_ERROR else entry["loadStatus"]
            for entry in entries
        }

    def has_loaded(self, code_locations: Iterable[str]) -> bool:
        """Whether the workspace has these code locations, each of them loaded."""
        statuses = self.load_statuses()
        return all(statuses.get(name) == "LOADED" for name in code_locations)

    def launch(self, launch: Launch) -> str:
        """Launch one run and return its id."""
        return _run_id(self.ask(_LAUNCH, parameters=launch.parameters()))

    def launch_several(self, launches: Sequence[Launch]) -> list[str]:
        """Launch several runs with one request and return their ids in the same order."""
        answer = self.ask(_LAUNCH_SEVERAL, parameters=[launch.parameters() for launch in launches])
        return [_run_id(result) for result in answer["launchMultipleRunsResult"]]


_LOAD_STATUSES = """
{
  workspaceOrError {
    ... on Error { message }
    ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename } } }
  }
}
"""
_LOAD_ERROR = {"__typename": "PythonError"}

_LAUNCHED = """
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
"""
_LAUNCH = f"""
mutation ($parameters: ExecutionParams!) {{
  launchRun(executionParams: $parameters) {{ {_LAUNCHED} }}
}}
"""
_LAUNCH_SEVERAL = f"""
mutation ($parameters: [ExecutionParams!]!) {{
  launchMultipleRuns(executionParamsList: $parameters) {{
    ... on Error {{ message }}
    ... on LaunchMultipleRunsResult {{ launchMultipleRunsResult {{ {_LAUNCHED} }} }}
  }}
}}
"""


def _run_id(answer: Mapping[str, Any]) -> str:
    if "run" not in answer:
        raise GraphQLError(str(answer.get("message") or answer.get("errors") or answer))
    run_id: str = answer["run"]["runId"]
    return run_id
