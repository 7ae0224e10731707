"""The overlay `login` in a browser: an OpenID Connect server, oauth2-proxy, two webservers, the page of the queue.

The programs are those of the overlay with its arguments and settings; only their addresses are others.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from dagster import RunsFilter
from harness.launches import A
from harness.process import Process, free_port, listens
from harness.system import System, trial_config
from harness.waiting import wait_until

api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: see requirements/browser.txt")
pytest.importorskip("oidc_provider_mock", reason="oidc-provider-mock is missing: pip install oidc-provider-mock")
CHROMIUM, PROXY = shutil.which("chromium"), shutil.which("oauth2-proxy")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing; on Debian: apt-get install chromium"),
    pytest.mark.skipif(
        PROXY is None, reason="oauth2-proxy is missing: go install github.com/oauth2-proxy/oauth2-proxy/v7@v7.15.6"
    ),
    pytest.mark.timeout(600),
]

OVERLAY = Path(__file__).parents[2] / "deploy" / "overlays" / "login"
ISSUER = "https://login.example.com/realms/company"
USERS = {
    "ann": {"email": "ann@example.com", "email_verified": True, "groups": ["people", "data-platform"]},
    "bob": {"email": "bob@example.com", "email_verified": True, "groups": ["people", "team-a"]},
}
LAUNCH = """
mutation($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, runConfigData: {}}) {
    __typename ... on LaunchRunSuccess { run { runId } }
  }
}
"""


@dataclass(frozen=True)
class Login:
    """Where people get in.

    Attributes:
        everybody: The address at which everybody reads.
        platform: The address at which the platform's people launch.
        system: Dagster itself.
    """

    everybody: str
    platform: str
    system: System


def containers() -> dict[str, list[str]]:
    """The command or the arguments of each container of the login's pod."""
    values = yaml.safe_load((OVERLAY / "values.yaml").read_text())
    (deployment,) = [each for each in values["extraManifests"] if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    return {each["name"]: each.get("command") or each["args"] for each in pod["containers"]}


def program(system: System, name: str, command: list[str], environment: dict[str, str]) -> Process:
    """A program that is no Python module, with its log beside the others'."""
    return Process(name, command, environment, system.home, system.logs / f"{name}.log")


@contextmanager
def running(process: Process, port: int) -> Iterator[None]:
    """A program that listens on a port."""

    def serves() -> bool:
        process.ensure_running()
        return listens(port)

    process.start()
    try:
        wait_until(f"{process.name} listens", serves)
        yield
    finally:
        process.stop()


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    """All of it, with code-location-a in the hands of team-a."""
    assert PROXY
    home = tmp_path_factory.mktemp("login") / "home"
    config = trial_config(code_location_limits={"locations": {A: {"limit": 2, "operators": ["team-a"]}}})
    with System(home, config, code_locations={A: "code_location_a.definitions"}) as system, ExitStack() as stack:
        reads, page, issuer, everybody, platform = (free_port() for _ in range(5))
        stack.enter_context(
            running(
                system.process(
                    "read-only", "dagster_webserver", "--workspace", str(system.workspace),
                    "--host", "127.0.0.1", "--port", str(reads), "--read-only",
                ),
                reads,
            )
        )  # fmt: skip
        users = [f"--user-claims={json.dumps({'sub': name, **claims})}" for name, claims in USERS.items()]
        stack.enter_context(
            running(system.process("openid", "oidc_provider_mock", "--port", str(issuer), *users), issuer)
        )
        addresses = {
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - what the overlay has
            "dagster-dagster-webserver-read-only:3000": f"127.0.0.1:{reads}",
            "dagster-dagster-webserver:3000": system.url.removeprefix("http://"),
            "https://launch.dagster.example.com": f"http://localhost:{platform}",
            "https://dagster.example.com": f"http://localhost:{everybody}",
            "127.0.0.1:3001": f"127.0.0.1:{page}",
            "--port=3001": f"--port={page}",
            ":4180": f":{everybody}",
            ":4181": f":{platform}",
            "/etc/oauth2-proxy": str(home),
        }
        settings = yaml.safe_load((OVERLAY / "manifests" / "config.yaml").read_text())["data"]
        for file, text in settings.items():
            (home / file).write_text(text.replace(ISSUER, f"http://localhost:{issuer}"))
        environment = {
            "DAGSTER_HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "OAUTH2_PROXY_CLIENT_SECRET": "secret",
            "OAUTH2_PROXY_COOKIE_SECRET": "0123456789abcdef0123456789abcdef",
        }
        ports = {"everybody": everybody, "platform": platform, "page": page}
        for name, words in containers().items():
            here = words
            for there, address in addresses.items():
                here = [word.replace(there, address) for word in here]
            command = here if name == "page" else [PROXY, *here]
            stack.enter_context(running(program(system, name, command, environment), ports[name]))
        yield Login(f"http://localhost:{everybody}", f"http://localhost:{platform}", system)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def signed_in(chromium: Any, address: str, user: str) -> Iterator[Any]:
    """A browser's page at an address, after the login."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(address)
        assert page.url.startswith("http://localhost")
        assert "/oauth2/authorize" in page.url
        page.get_by_role("button", name=user, exact=True).click()
        page.wait_for_url(lambda url: url.startswith(address))
        yield page


def launch(page: Any, address: str) -> Any:
    """What the webserver answers to a launch of a run, as the UI sends it."""
    selector = {
        "repositoryLocationName": A,
        "repositoryName": "__repository__",
        "pipelineName": "refresh_search_index",
    }
    answer = page.request.post(f"{address}/graphql", data={"query": LAUNCH, "variables": {"selector": selector}})
    assert answer.ok, answer.text()
    return answer.json()


def runs(login: Login) -> int:
    """How many runs there are."""
    with login.system.instance() as instance:
        return int(instance.get_runs_count(RunsFilter()))


@pytest.mark.parametrize("path", ["/", "/queue/", "/runs"])
def test_without_a_login_there_is_no_way_in(login: Login, path: str) -> None:
    """Whatever a request says of itself: a browser is sent to the OpenID Connect server."""
    told = {"X-Forwarded-User": "ann@example.com", "X-Forwarded-Groups": "data-platform"}
    for address in (login.everybody, login.platform):
        answer = requests.get(address + path, headers=told, allow_redirects=False, timeout=30)
        assert answer.status_code == 302
        assert "/oauth2/authorize" in answer.headers["location"]


def test_without_a_login_nothing_is_launched(login: Login) -> None:
    """A request of the UI's kind is refused, and not redirected."""
    for address in (login.everybody, login.platform):
        answer = requests.post(f"{address}/graphql", json={"query": "{version}"}, timeout=30)
        assert answer.status_code == 401


def test_everybody_reads_and_launches_nothing(login: Login, chromium: Any) -> None:
    """Dagster's UI opens, and its webserver refuses a launch."""
    before = runs(login)
    with signed_in(chromium, login.everybody, "bob") as page:
        page.goto(f"{login.everybody}/runs")
        page.get_by_text("Runs", exact=True).first.wait_for()
        assert launch(page, login.everybody)["data"]["launchRun"]["__typename"] == "UnauthorizedError"
    assert runs(login) == before


def test_only_the_platforms_people_get_to_where_runs_are_launched(login: Login, chromium: Any) -> None:
    """Who isn't in the group is told so, after a login that succeeded."""
    before = runs(login)
    with signed_in(chromium, login.platform, "bob") as page:
        assert page.get_by_text("403").count()
        assert page.request.post(f"{login.platform}/graphql", data={"query": "{version}"}).status in {401, 403}
    with signed_in(chromium, login.platform, "ann") as page:
        answer = launch(page, login.platform)["data"]["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess"
    assert runs(login) == before + 1


def test_a_team_changes_its_own_code_location_on_the_page(login: Login, chromium: Any) -> None:
    """Signed with the address that the server has verified, whatever the browser says in the proxy's headers."""
    forged = {
        "X-Forwarded-User": "eve@example.com",
        "X-Forwarded-Groups": "data-platform",
        "X-Forwarded_User": "eve",
    }
    with signed_in(chromium, login.everybody, "bob") as page:
        page.set_extra_http_headers(forged)
        page.goto(f"{login.everybody}/queue/change?action=pause&location={A}")
        page.fill("#reason", "a deploy")
        page.click("button.main")
        page.click("button[value=do]")
        page.goto(f"{login.everybody}/queue/changes")
        assert "bob@example.com" in page.content()
        assert "eve" not in page.content()
