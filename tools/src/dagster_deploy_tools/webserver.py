"""Asks a webserver to read a code location or its workspace anew, as its UI does under Deployment."""

from typing import Any

import requests

TIMEOUT_SECONDS = 300
"""The longest that reading a code location may take."""

_RELOAD = """
mutation ($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on Error { message }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
  }
}
"""
_RELOAD_WORKSPACE = "mutation { reloadWorkspace { __typename ... on Error { message } } }"
_FOR_GOOD = {"ReloadNotSupported", "RepositoryLocationNotFound", "UnauthorizedError"}


class ReloadError(Exception):
    """A code location wasn't read anew; the message is one line with the cause.

    Attributes:
        for_good: Whether it makes no sense to try again.
    """

    def __init__(self, message: str, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.for_good = for_good


def reload(webserver: str, code_location: str) -> None:
    """Have a webserver read a code location anew.

    Args:
        webserver: Its address, with its path prefix if it has one.
        code_location: The name of the code location.

    Raises:
        ReloadError: It can't be reached, refuses, or can't load the code location.
    """
    answer = _ask(webserver, "reloadRepositoryLocation", _RELOAD, name=code_location)
    kind = answer["__typename"]
    loaded = answer if kind != "WorkspaceLocationEntry" else answer["locationOrLoadError"] or {}
    if loaded.get("__typename") != "RepositoryLocation":
        message = " ".join(str(loaded.get("message", kind)).split())
        raise ReloadError(f"the webserver can't reload {code_location}: {message}", for_good=kind in _FOR_GOOD)


def reload_workspace(webserver: str) -> None:
    """Have a webserver read its workspace file anew, with code locations that were added or removed.

    Raises:
        ReloadError: It can't be reached, or refuses.
    """
    answer = _ask(webserver, "reloadWorkspace", _RELOAD_WORKSPACE)
    if answer["__typename"] != "Workspace":
        message = " ".join(str(answer.get("message", answer["__typename"])).split())
        raise ReloadError(f"the webserver can't reload its workspace: {message}")


def _ask(webserver: str, field: str, query: str, **variables: str) -> Any:
    """The field of a webserver's answer to a query; it has a `__typename`."""
    try:
        response = requests.post(
            f"{webserver.rstrip('/')}/graphql",
            json={"query": query, "variables": variables},
            timeout=TIMEOUT_SECONDS,
        )
        response.raise_for_status()
        answer = response.json()["data"][field]
        answer["__typename"]
    except requests.ConnectionError as error:
        raise ReloadError(f"the webserver at {webserver} doesn't answer") from error
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        cause = " ".join(str(error).split())
        raise ReloadError(f"the webserver at {webserver} gave no answer that makes sense: {cause}") from error
    return answer
