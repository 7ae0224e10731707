"""Launches a run each second through the webserver's Service; runs in a pod, with Python's standard library only.

Writes a line of JSON for each launch: when it was sent, the seconds until the answer, and the run or the error.
The Jobs of these runs are suspended, so they cost a dequeue and nothing more.
"""

import json
import sys
import threading
import time
import urllib.request

TIMEOUT_SECONDS = 10
QUERY = """
mutation ($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message }
  }
}
"""


def launch(url: str, parameters: object) -> str:
    """Launch a run and return its id; anything else is an error."""
    data = json.dumps({"query": QUERY, "variables": {"parameters": parameters}}).encode()
    request = urllib.request.Request(f"{url}/graphql", data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - the Service
        answer = json.load(response)
    found = (answer.get("data") or {}).get("launchRun") or {}
    if "run" not in found:
        raise RuntimeError(str(found.get("message") or answer)[:300])
    return str(found["run"]["runId"])


def launch_and_tell(url: str, parameters: object) -> None:
    """Launch a run and write how it went."""
    sent, began = time.time(), time.monotonic()
    told: dict[str, object] = {"sent": sent, "run": None, "error": None}
    try:
        told["run"] = launch(url, parameters)
    except Exception as error:  # noqa: BLE001 - whatever it is, the launch failed
        told["error"] = f"{type(error).__name__}: {error}"
    told["seconds"] = time.monotonic() - began
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Launch for ever."""
    url, parameters = sys.argv[1], json.loads(sys.argv[2])
    while True:
        threading.Thread(target=launch_and_tell, args=(url, parameters), daemon=True).start()
        time.sleep(1)


if __name__ == "__main__":
    main()
