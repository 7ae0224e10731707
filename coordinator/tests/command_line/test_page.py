"""The pages of `dagster-clt page`, asked in this process."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import requests
from clt_queued_run_coordinator._dagster import BACKFILL_ID_TAG, PRIORITY_TAG, QUEUE_DAEMON
from clt_queued_run_coordinator.page import shared
from clt_queued_run_coordinator.page.access import Access
from clt_queued_run_coordinator.page.app import Options, application
from clt_queued_run_coordinator.page.readings import Readings
from clt_queued_run_coordinator.page.safety import HEADERS
from clt_queued_run_coordinator.page.shared import Shared
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus
from dagster._daemon.types import DaemonHeartbeat
from harness.waiting import wait_until
from httpx import Response
from starlette.testclient import TestClient
from tests.command_line.conftest import CONFIG, Home
from tests.run_queue import A, B, RunQueue

on_sqlite = pytest.mark.parametrize("home", ["sqlite"], indirect=True)
"""For what doesn't depend on the storage."""
PROXY = "10.0.0.7"
READ_ONLY = Options()
CHANGEABLE = Options(
    access=Access(
        allow_changes=True,
        user_header="X-User",
        groups_header="X-Groups",
        trusted_proxies=[ip_network("10.0.0.0/24")],
        platform_groups=frozenset({"platform"}),
    )
)
ANN = {"X-User": "ann", "X-Groups": "people, platform"}
TIM = {"X-User": "tim", "X-Groups": "people,team-a"}
LIMITS: Any = CONFIG["code_location_limits"]
TEAM_A = CONFIG | {
    "code_location_limits": LIMITS | {"locations": {A: {"limit": 3, "operators": ["team-a"], "max_per_job": 2}}}
}


def client_of(
    queue: RunQueue, options: Options = READ_ONLY, address: str = PROXY, headers: Mapping[str, str] | None = None
) -> TestClient:
    """Somebody who looks at the pages of a queue."""
    readings = Readings(lambda: (queue.instance, queue.coordinator))
    client = TestClient(application(readings, options), client=(address, 50000), raise_server_exceptions=False)
    client.headers.update(headers or {})
    return client


def post(client: TestClient, step: str = "do", headers: Any = None, **form: str) -> Response:
    """Fill in a form as a browser does: open it, then post it."""
    opened = client.get("/change", params={"action": form["action"]})
    token = re.search(r'name="token" value="(\w+)"', opened.text)
    fields = {"reason": "a test", "token": token[1] if token else "", "step": step, **form}
    answer: Response = client.post(
        "/change",
        data=fields,
        headers={"Origin": "http://testserver", **(headers or {})},
        follow_redirects=False,
    )
    return answer


def limit_of(queue: RunQueue, name: str) -> int | None:
    """The limit in force."""
    with queue.storage.connect() as connection:
        changes = live.read(connection)
    if changes.pause(name):
        return 0
    limit = changes.limit(name)
    return limit.value if limit else None


class TestLooking:
    """What the pages show."""

    def test_the_first_page_has_every_code_location_with_its_numbers(self, home: Home) -> None:
        """Queued, in progress, limit and what it waits for."""
        queue = home.queue()
        queue.queue(A, 4)
        queue.put(A, DagsterRunStatus.STARTED, 3)
        queue.queue(B)
        page = client_of(queue).get("/")
        assert page.status_code == 200
        (row,) = re.findall(rf"<th[^>]*><a[^>]*>{A}</a>.*?</tr>", page.text, re.DOTALL)
        assert re.sub("<.*?>", " ", row, flags=re.DOTALL).split()[:5] == [A, "4", "3", "of", "3"]
        assert "Its limit is reached: 3 of 3 in progress" in row
        assert "Starts in a moment" in page.text

    @on_sqlite
    def test_a_code_location_of_the_workspace_that_never_ran_is_shown(self, home: Home) -> None:
        """As `status` shows it, with a page of its own; it can be paused before its first run."""
        (home.folder / "workspace.yaml").write_text(
            "load_from: [{grpc_server: {host: a, port: 4000, location_name: never-ran}}]"
        )
        client = client_of(home.queue(), CHANGEABLE, headers=ANN)
        assert ">never-ran</a>" in client.get("/").text
        assert client.get("/location", params={"name": "never-ran"}).status_code == 200
        assert post(client, action="pause", location="never-ran").status_code == 303

    def test_a_group_and_its_limit_are_shown(self, home: Home) -> None:
        """With the code locations that are in it."""
        group = {"team": {"locations": [A, B], "limit": 2}}
        home.configure(CONFIG | {"code_location_limits": {"groups": group}})
        queue = home.queue()
        queue.put(A, DagsterRunStatus.STARTED, 2)
        queue.queue(B)
        text = client_of(queue).get("/").text
        assert "The limit of its group team is reached" in text
        assert "2 of 2" in text

    @on_sqlite
    def test_slots_are_shown_where_they_count(self, home: Home) -> None:
        """Of all, of a group and of a code location, with the number of runs that hold them."""
        limits = {"slot": {"cpu": 1}, "default": 10, "groups": {"team": {"locations": [A], "limit": 12}}}
        home.configure({"max_concurrent_runs": 20, "code_location_limits": limits})
        queue = home.queue()
        queue.queue(A, 3, tags={"slots": "4"})
        assert queue.tick() == {A: 2}
        client = client_of(queue)
        text = " ".join(re.sub("<.*?>", "", client.get("/").text, flags=re.DOTALL).split())
        for said in ("8 of 20 slots, 2 runs", "8 of 12 slots, 2 runs", "8 of 10 slots, 2 runs"):
            assert said in text
        assert "Its limit is reached: 8 of 10 slots in use" in text
        assert "8 of 10 slots, 2 runs" in re.sub("<.*?>", "", client.get("/location", params={"name": A}).text)

    @on_sqlite
    def test_the_code_locations_can_be_ordered_and_filtered(self, home: Home) -> None:
        """By what the address says, so that it works without script."""
        queue = home.queue()
        queue.queue("etl-one", 1)
        queue.queue("etl-two", 2)
        client = client_of(queue)
        found = re.findall(r"name=etl-(\w+)", client.get("/?order=queued&find=ETL").text)
        assert found == ["two", "one"]
        assert A not in client.get("/?only=busy").text

    def test_a_code_location_has_its_queue_in_order(self, home: Home) -> None:
        """The higher priority first; which runs the next tick starts, what is in progress, the limits within."""
        home.configure(TEAM_A)
        queue = home.queue()
        (running,) = queue.put(A, DagsterRunStatus.STARTED)
        (second,) = queue.queue(A, job_name="hourly")
        (first,) = queue.queue(A, priority=5, job_name="nightly")
        later = queue.queue(A, 2, job_name="other")
        text = client_of(queue).get("/location", params={"name": A}).text
        shown = re.findall(r"run\?id=([\w-]+)", text.partition('id="queued"')[2])
        assert shown == [first, second, *later, running]
        assert text.count("at the next tick") == 2
        assert "Each job" in text

    def test_a_code_location_says_what_holds_its_next_run(self, home: Home) -> None:
        """With the runs that use it up, each of them a link."""
        queue = home.queue()
        holding = queue.put(A, DagsterRunStatus.STARTED, 3)
        queue.queue(A)
        text = client_of(queue).get("/location", params={"name": A}).text
        held = text.partition("What holds the next run")[2].partition("Limits")[0]
        assert f"limit of {A} is used up" in held
        assert all(f"id={run_id}" in held for run_id in holding)

    def test_a_run_is_found_by_the_beginning_of_its_id(self, home: Home) -> None:
        """And says its place and what holds it, as `dagster-clt explain` does."""
        queue = home.queue()
        live.pause(queue.instance, A, reason="deploy", by="ann")
        _, run_id = queue.queue(A, 2)
        options = Options(dagster_url="https://dagster.example.com")
        text = client_of(queue, options).get("/run", params={"id": run_id[:8]}).text
        assert "2nd of 2 queued" in text
        assert f"{A} is paused by ann" in text
        assert f'href="https://dagster.example.com/runs/{run_id}"' in text

    @on_sqlite
    def test_a_run_that_is_not_queued_says_what_became_of_it(self, home: Home) -> None:
        """A wrong id says so too."""
        queue = home.queue()
        (run_id,) = queue.put(A, DagsterRunStatus.SUCCESS)
        client = client_of(queue)
        assert "it has succeeded" in client.get("/run", params={"id": run_id}).text
        unknown = client.get("/run", params={"id": "no-such-run"})
        assert unknown.status_code == 404
        assert "No run" in unknown.text

    def test_the_changes_are_listed(self, home: Home) -> None:
        """Who, when, what, why and until when."""
        queue = home.queue()
        live.set_limit(queue.instance, A, 2, reason="slow warehouse", by="bob")
        text = client_of(queue).get("/changes").text
        assert all(part in text for part in ("bob", A, "limit 2", "slow warehouse"))

    @on_sqlite
    def test_what_users_write_never_becomes_markup(self, home: Home) -> None:
        """Names, jobs, reasons and what is asked for."""
        evil = '<img src=x onerror="alert(1)">\x1b[31m'
        queue = home.queue()
        live.pause(queue.instance, evil, reason=evil, by=evil)
        queue.queue(evil, job_name=evil)
        client = client_of(queue, CHANGEABLE, headers=ANN)
        for address, query in (
            ("/location", {"name": evil}),
            ("/", {"find": evil}),
            ("/changes", {}),
            ("/run", {"id": evil}),
            ("/change", {"action": "pause", "location": evil}),
        ):
            text = client.get(address, params=query).text
            assert "<img" not in text, address
            assert "\x1b" not in text, address
            assert "&lt;img" in text, address

    @on_sqlite
    def test_it_stands_under_a_prefix(self, home: Home) -> None:
        """Every address on it begins with that; elsewhere is nothing."""
        client = client_of(home.queue(), Options(path_prefix="/queue"))
        text = client.get("/queue/").text
        addresses = re.findall(r'(?:href|src|action)="([^"#]*)"', text)
        assert addresses
        assert all(address.startswith("/queue/") for address in addresses)
        assert all(client.get(address).status_code == 200 for address in addresses if "/static/" in address)
        assert client.get("/").status_code == 404
        assert client.get("/queue", follow_redirects=False).headers["location"] == "/queue/"


class TestTrouble:
    """What it says when something is away."""

    def test_a_daemon_that_never_read_the_queue_is_told(self, home: Home) -> None:
        """On every page."""
        assert "daemon is not reading the queue. It was never seen." in client_of(home.queue()).get("/").text

    @on_sqlite
    def test_a_daemon_that_dies_while_one_looks_is_told(self, home: Home) -> None:
        """As soon as its heartbeats are missed; until then nothing is said."""
        queue = home.queue()
        client = client_of(queue)

        def beat(seconds_ago: float) -> str:
            heartbeat = DaemonHeartbeat(time.time() - seconds_ago, QUEUE_DAEMON, "a daemon", [])
            queue.instance.add_daemon_heartbeat(heartbeat)
            text: str = client.get("/").text
            return text

        assert "No run starts" not in beat(1)
        wait_until("it is told", lambda: "It was last seen 3m" in beat(200))

    @on_sqlite
    def test_the_last_picture_stays_while_the_database_is_away(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With its age and the reason."""
        monkeypatch.setattr(shared, "EVERY_SECONDS", 0.0)
        queue = home.queue()
        queue.queue(A, 7)
        client = client_of(queue)
        assert "can't be read" not in client.get("/").text

        def away(*_: object) -> None:
            raise OSError("connection refused")

        monkeypatch.setattr(queue.instance.run_storage, "connect", away)
        for address in ("/", f"/location?name={A}", "/run?id=abcdefgh", "/changes"):
            text = client.get(address).text
            assert "The database can&#39;t be read: connection refused. This is the picture of" in text, address
        assert f">{A}</a>" in client.get("/").text
        monkeypatch.undo()
        wait_until("the picture is of now again", lambda: "can&#39;t be read" not in client.get("/").text)

    @on_sqlite
    def test_a_database_that_comes_later_is_waited_for(self, home: Home) -> None:
        """Until then the page says so, with a status that a monitor understands; the process itself is healthy."""
        queue = home.queue()
        opened: list[bool] = []

        def open_instance() -> Any:
            if not opened:
                raise OSError("no route to host")
            return queue.instance, queue.coordinator

        client = TestClient(application(Readings(open_instance), Options()))
        answer = client.get("/")
        assert answer.status_code == 503
        assert "The database can&#39;t be read: no route to host" in answer.text
        assert client.get("/healthz").status_code == 200
        opened.append(True)
        wait_until("the page shows the queue", lambda: client.get("/").status_code == 200)

    def test_many_viewers_share_a_reading(self) -> None:
        """Those who come while one is under way wait for that one."""
        go, readings = threading.Event(), []

        def read() -> int:
            go.wait(60)
            readings.append(1)
            return len(readings)

        of_all = Shared(read)
        seen: list[int | None] = []
        viewers = [threading.Thread(target=lambda: seen.append(of_all.get().value)) for _ in range(20)]
        for viewer in viewers:
            viewer.start()
        go.set()
        for viewer in viewers:
            viewer.join()
        assert seen == [1] * 20

    def test_who_changed_something_sees_it(self) -> None:
        """A reading that began before doesn't count."""
        numbers = iter(range(100))
        of_all = Shared(lambda: next(numbers))
        assert of_all.get().value == of_all.get().value == 0
        of_all.outdate()
        assert of_all.get().value == 1


class TestSafety:
    """What others can't do."""

    @on_sqlite
    def test_every_answer_forbids_framing_and_foreign_content(self, home: Home) -> None:
        """Errors and files too; nothing on a page comes from another host or is inline."""
        client = client_of(home.queue())
        for address in ("/", "/static/page.js", "/nothing", "/run", "/healthz"):
            answer = client.get(address)
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, address
        text = client.get("/").text
        assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=|javascript:|https?://", text)

    @on_sqlite
    def test_headers_from_elsewhere_than_the_proxy_are_refused(self, home: Home) -> None:
        """And a header that comes twice: somebody has put one before the proxy's."""
        queue = home.queue()
        assert client_of(queue, CHANGEABLE, "10.0.1.7", ANN).get("/").status_code == 403
        assert client_of(queue, CHANGEABLE, "::ffff:10.0.0.7", ANN).get("/").status_code == 200
        twice = [("X-User", "ann"), ("X-User", "eve"), ("X-Groups", "platform")]
        assert client_of(queue, CHANGEABLE).get("/", headers=twice).status_code == 403
        forwarded = client_of(queue, CHANGEABLE, "10.0.1.7", {**ANN, "X-Forwarded-For": PROXY})
        assert forwarded.get("/").status_code == 403

    @on_sqlite
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example.com"},
            {"Origin": "null"},
            {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
            {"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"},
            {"Origin": "http://testserver", "token": "0" * 64},
            {"Origin": "http://testserver", "Cookie": "dagster_clt_page=another"},
            {"Origin": "http://testserver", "X-User": "bob"},
        ],
        ids=str,
    )
    def test_what_another_site_posts_is_refused(self, home: Home, headers: dict[str, str]) -> None:
        """By its origin, by what the browser says, by the token, by the cookie, and for another user."""
        queue = home.queue()
        queue.queue(A)
        client = client_of(queue, CHANGEABLE, headers=ANN)
        form = {"token": headers.pop("token")} if "token" in headers else {}
        assert post(client, headers=headers, action="pause", location=A, **form).status_code == 403
        assert limit_of(queue, A) is None

    @on_sqlite
    def test_a_post_that_says_nothing_of_its_origin_is_refused(self, home: Home) -> None:
        """Every browser of today says it."""
        client = client_of(home.queue(), CHANGEABLE, headers=ANN)
        assert client.post("/change", data={"action": "pause", "location": A}).status_code == 403

    @on_sqlite
    def test_nothing_can_be_changed_unless_it_is_switched_on(self, home: Home) -> None:
        """There is not even a form."""
        queue = home.queue()
        queue.queue(A)
        client = client_of(queue)
        assert post(client, action="pause", location=A).status_code == 404
        assert "/change?" not in client.get(f"/location?name={A}").text

    @on_sqlite
    def test_the_cookie_stays_on_this_site(self, home: Home) -> None:
        """And on https alone where the proxy has that."""
        client = client_of(home.queue(), CHANGEABLE, headers=ANN | {"X-Forwarded-Proto": "https"})
        cookie = client.get("/change?action=pause").headers["set-cookie"].lower()
        assert all(part in cookie for part in ("httponly", "samesite=strict", "secure"))


class TestChanging:
    """What people change on the page."""

    def test_a_preview_changes_nothing_and_then_it_is_as_the_preview_said(self, home: Home) -> None:
        """With its author and reason in the history, and at once on the page."""
        queue = home.queue()
        queue.queue(A)
        client = client_of(queue, CHANGEABLE, headers=ANN)
        preview = post(client, "preview", action="pause", location=A, until="2h", reason="deploy <now>")
        assert preview.status_code == 200
        assert "limit 3 (configuration)" in preview.text
        assert "limit 0 (paused) from the next tick until" in preview.text
        assert limit_of(queue, A) is None
        done = post(client, action="pause", location=A, until="2h", reason="deploy <now>")
        assert (done.status_code, done.headers["location"]) == (303, f"/location?name={A}")
        assert limit_of(queue, A) == 0
        assert "by ann: deploy &lt;now&gt;" in client.get(done.headers["location"]).text
        assert '"by": "ann"' in home.run("history", "--output", "json").out

    def test_a_change_can_end_at_a_time(self, home: Home) -> None:
        """By the same words as `--until`; preview, page and history say it in UTC."""
        queue = home.queue()
        client = client_of(queue, CHANGEABLE, headers=ANN)
        for action, number in (("pause", ""), ("limit", "1")):
            form = {"action": action, "location": A, "number": number, "until": "2999-12-24T18:00+01:00"}
            preview = post(client, "preview", **form)
            assert "from the next tick until 2999-12-24 17:00 UTC, then " in preview.text
            assert 'name="until" value="2999-12-24T18:00+01:00"' in preview.text
            done = post(client, **form)
            assert "until 2999-12-24 17:00 UTC by ann" in client.get(done.headers["location"]).text
            post(client, action="resume", location=A)
        assert client.get("/changes").text.count("2999-12-24 17:00 UTC") == 2

    def test_resume_limits_and_everything(self, home: Home) -> None:
        """Each one does what the command of its name does."""
        queue = home.queue()
        queue.queue(A)
        client = client_of(queue, CHANGEABLE, headers=ANN)
        for form, limit in (
            ({"action": "limit", "location": A, "number": "2", "until": "1h"}, 2),
            ({"action": "pause", "location": A}, 0),
            ({"action": "resume", "location": A}, 2),
            ({"action": "clear-limit", "location": A}, None),
            ({"action": "pause"}, 0),
            ({"action": "resume"}, None),
        ):
            assert post(client, **form).status_code == 303, form
            assert limit_of(queue, A) == limit, form

    def test_priorities_of_a_run_a_job_and_a_backfill(self, home: Home) -> None:
        """Of the queued ones, with an entry in the history that says which."""
        queue = home.queue()
        (run_id,) = queue.queue(A, job_name="nightly")
        (other,) = queue.queue(A, job_name="nightly", tags={BACKFILL_ID_TAG: "abcdefgh"})
        client = client_of(queue, CHANGEABLE, headers=ANN)
        for form, changed in (
            ({"run": run_id}, {run_id}),
            ({"job": "nightly", "location": A}, {run_id, other}),
            ({"backfill": "abcdefgh"}, {other}),
        ):
            number = str(10 + len(changed) + len(form))
            preview = post(client, "preview", action="priority", number=number, **form)
            assert f"priority {number}" in preview.text
            assert post(client, action="priority", number=number, **form).status_code == 303, form
            having = {each for each in (run_id, other) if queue.run(each).tags.get(PRIORITY_TAG) == number}
            assert having == changed
        listed = home.run("history").out
        assert all(of in listed for of in (f"of run {run_id}", "of job nightly", "of backfill abcdefgh"))

    @on_sqlite
    @pytest.mark.parametrize(
        ("form", "says"),
        [
            ({"action": "pause", "location": "code-location-x"}, "No run was ever queued"),
            ({"action": "pause", "location": A, "reason": " "}, "Why: it is empty"),
            ({"action": "pause", "location": A, "until": "soon"}, "Until when: &#39;soon&#39; is not a duration"),
            ({"action": "pause", "location": A, "until": "2999-12-24T18:00"}, "lacks its offset from UTC"),
            ({"action": "pause", "location": A, "until": "2020-12-24T18:00Z"}, "has passed; by the database"),
            ({"action": "limit", "location": A, "number": "-1"}, "it must be 0 or more"),
            ({"action": "limit", "location": A, "number": "few"}, "is not a whole number"),
            ({"action": "priority", "job": "nothing", "number": "1"}, "No run was ever made of a job"),
            ({"action": "priority", "run": "abcdefgh", "number": "1"}, "There is no run"),
        ],
    )
    def test_a_mistake_is_refused_in_words(self, home: Home, form: dict[str, str], says: str) -> None:
        """As by the command; what was filled in stays."""
        client = client_of(home.queue(), CHANGEABLE, headers=ANN)
        answer = post(client, **form)
        assert answer.status_code == 400
        assert says in answer.text
        assert f'name="reason" value="{form.get("reason", "a test")}"' in answer.text

    def test_a_team_changes_its_own_code_locations_alone(self, home: Home) -> None:
        """By `operators`; of runs and backfills, only if all are its own."""
        home.configure(TEAM_A)
        queue = home.queue()
        queue.queue(A, tags={BACKFILL_ID_TAG: "abcdefgh"})
        (of_b,) = queue.queue(B, tags={BACKFILL_ID_TAG: "abcdefgh"})
        client = client_of(queue, CHANGEABLE, headers=TIM)
        assert post(client, action="pause", location=A).status_code == 303
        for form in (
            {"action": "pause", "location": B},
            {"action": "pause"},
            {"action": "priority", "run": of_b, "number": "1"},
            {"action": "priority", "backfill": "abcdefgh", "number": "1"},
            {"action": "priority", "job": "job", "number": "1"},
        ):
            assert post(client, **form).status_code == 403, form
        assert limit_of(queue, B) is None
        assert "action=pause" in client.get(f"/location?name={A}").text
        assert "action=pause" not in client.get(f"/location?name={B}").text

    @on_sqlite
    def test_without_a_user_nobody_changes_anything(self, home: Home) -> None:
        """The proxy has let somebody through who isn't signed in."""
        queue = home.queue()
        queue.queue(A)
        assert post(client_of(queue, CHANGEABLE), action="pause", location=A).status_code == 403


class TestCommand:
    """`dagster-clt page` as a program."""

    @on_sqlite
    def test_it_tells_its_address_and_ends_when_told(self, home: Home) -> None:
        """With exit code 0, as a container's rollout wants it."""
        home.queue().queue(A)
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-clt"), "page", "--port", "0", "--path-prefix", "queue/"],
            env={**os.environ, "DAGSTER_HOME": str(home.folder)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        with process.stderr:
            address = next(line.split()[1] for line in process.stderr if line.startswith("Serving "))
            assert address.endswith("/queue/")
            assert A in requests.get(address, timeout=60).text
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        assert process.returncode in {0, -signal.SIGTERM}

    @on_sqlite
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (["--allow-changes"], "needs --user-header"),
            (["--trusted-proxy", "proxy"], "write an address or a network"),
            (["--path-prefix", "/a b"], "is not a path"),
            (["--dagster-url", "javascript:alert(1)"], "is no address"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, home: Home, options: list[str], says: str) -> None:
        """In one line."""
        answer = home.run("page", *options)
        assert answer.code == 2
        assert says in " ".join(answer.err.split())

    @on_sqlite
    def test_a_host_that_cannot_be_listened_on_is_refused(self, home: Home) -> None:
        """A name that no host can have too, in one line."""
        answer = home.run("page", "--host", "ü" * 64)
        assert answer.code == 1
        assert answer.err.startswith("Error: Can't listen on üüü")
