"""The pages in a real Chromium: by keyboard, on a phone, in the dark, without script, and beside other viewers."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from clt_queued_run_coordinator.page.access import Access
from clt_queued_run_coordinator.page.app import Options, application
from clt_queued_run_coordinator.page.readings import Readings
from clt_queued_run_coordinator.store import live
from dagster import DagsterRunStatus
from harness.process import free_port
from harness.waiting import wait_until
from tests.run_queue import A, B, RunQueue, stored_run_queue

api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: see requirements/browser.txt")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing: see the same file")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is missing; on Debian: apt-get install chromium"
)

CONFIG = {
    "max_concurrent_runs": 5,
    "code_location_limits": {"default": 2, "groups": {"team": {"locations": [A, B]}}, "sharing": "fair"},
}
ACCESS = Access(
    allow_changes=True,
    user_header="X-User",
    groups_header="X-Groups",
    trusted_proxies=[ip_network("127.0.0.1")],
    platform_groups=frozenset({"platform"}),
)
ANN = {"X-User": "ann", "X-Groups": "platform"}
PAGES = ("", "location?name=" + A, "run?id={run}", "changes", "change?action=pause&location=" + A)


@contextmanager
def served(queue: RunQueue) -> Iterator[str]:
    """The address at which the pages of a queue are served."""
    options = Options("/queue", "https://dagster.example.com", ACCESS)
    app = application(Readings(lambda: (queue.instance, queue.coordinator)), options)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", proxy_headers=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until("the pages are served", lambda: server.started)
        yield f"http://127.0.0.1:{port}/queue/"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def queue() -> Iterator[RunQueue]:
    """A queue with runs of two code locations, one of which is paused."""
    with stored_run_queue(CONFIG, {}) as filled:
        filled.put(A, DagsterRunStatus.STARTED, 2)
        filled.queue(A, 12, job_name="a_job_with_a_name_that_is_longer_than_a_phone_is_wide")
        filled.queue(B, 3)
        live.pause(
            filled.instance, B, reason="a deploy of the shop that takes quite a while", by="somebody@somewhere"
        )
        yield filled


@pytest.fixture(scope="module")
def address(queue: RunQueue) -> Iterator[str]:
    """Where its pages are served."""
    with served(queue) as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium."""
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def tab(chromium: Any, **options: Any) -> Iterator[Any]:
    """A tab of somebody who may change everything; whatever its console complains about fails the test."""
    context = chromium.new_context(extra_http_headers=ANN, **options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert complaints == []


def addresses(address: str, queue: RunQueue) -> list[str]:
    """The address of every page."""
    run_id = queue.instance.get_runs(limit=1)[0].run_id
    return [address + page.format(run=run_id) for page in PAGES]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_each_page_fits_and_a_screen_reader_can_read_it(
    chromium: Any, address: str, queue: RunQueue, scheme: str, width: int
) -> None:
    """Nothing is wider than the window, and axe finds nothing; it judges contrast too."""
    with tab(chromium, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        for url in addresses(address, queue):
            page.goto(url)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, url
            found = axe.Axe().run(page).response["violations"]
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], url


def test_a_queue_can_be_read_on_a_phone(chromium: Any, address: str) -> None:
    """The names of its jobs aren't squeezed to a few letters a line."""
    with tab(chromium, viewport={"width": 390, "height": 800}) as page:
        page.goto(address + "location?name=" + A)
        assert page.locator("td:nth-child(3)").first.bounding_box()["width"] >= 100


def test_the_dark_is_dark(chromium: Any, address: str) -> None:
    """Where the system says so, without a button for it."""
    for scheme, is_dark in (("light", False), ("dark", True)):
        with tab(chromium, color_scheme=scheme) as page:
            page.goto(address)
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, paper[4:-1].split(","))) < 3 * 128) == is_dark


def test_a_pause_by_keyboard_alone_is_seen_by_another_viewer(chromium: Any, address: str, queue: RunQueue) -> None:
    """Who looks at the same time sees it without reloading; who typed it sees it at once."""
    with tab(chromium) as looking, tab(chromium) as changing:
        looking.goto(address)
        changing.goto(address + "location?name=" + A)
        _tab_to(changing, "Pause")
        changing.keyboard.press("Enter")
        changing.wait_for_selector("#until")
        _tab_to(changing, "until")
        changing.keyboard.type("2h")
        changing.keyboard.press("Tab")
        changing.keyboard.type("the warehouse is slow")
        changing.keyboard.press("Enter")
        changing.wait_for_selector("button:has-text('Pause')")
        _tab_to(changing, "Pause")
        changing.keyboard.press("Enter")
        changing.get_by_text("by ann: the warehouse is slow").first.wait_for()
        looking.get_by_text("by ann: the warehouse is slow").first.wait_for()
    live.resume(queue.instance, A)


def test_the_page_renews_itself_and_moves_nothing(chromium: Any, address: str, queue: RunQueue) -> None:
    """What has the focus keeps it, what is being typed stays, and only what differs is touched."""
    with tab(chromium) as page:
        page.goto(address)
        page.evaluate("window.table = document.querySelector('table')")
        page.fill("#find", "typed")
        page.focus(f"text={B}")
        (run_id,) = queue.queue("a-new-code-location")
        page.get_by_text("a-new-code-location").wait_for()
        assert page.input_value("#find") == "typed"
        assert page.evaluate("document.activeElement.textContent") == B
        assert page.evaluate("window.table.isConnected")
    queue.instance.delete_run(run_id)


def test_without_script_it_is_a_still_picture_that_can_change_things(
    chromium: Any, address: str, queue: RunQueue
) -> None:
    """It says how to get a new one, and every form works."""
    with tab(chromium, java_script_enabled=False) as page:
        page.goto(address)
        assert "reload for a new picture" in page.inner_text("main")
        page.fill("#find", A[-1:])
        page.check("input[name=only]")
        page.click("text=Show")
        assert "only=busy" in page.url
        page.goto(address + "change?action=limit&location=" + A)
        page.fill("#number", "1")
        page.fill("#until", "2999-12-24T18:00+01:00")
        page.fill("#reason", "a test")
        page.click("text=Show what it does")
        page.click("button:has-text('Set the limit')")
        assert "1, changed until 2999-12-24 17:00 UTC by ann: a test" in page.inner_text("main")
    live.clear_limit(queue.instance, A)


def test_another_site_can_not_show_it_in_a_frame(chromium: Any, address: str, tmp_path: Path) -> None:
    """The browser refuses, because the page says so."""
    other = tmp_path / "other.html"
    other.write_text(f'<iframe src="{address}"></iframe>')
    page = chromium.new_context(extra_http_headers=ANN).new_page()
    page.goto(other.as_uri())
    wait_until(
        "the browser shows an error in the frame",
        lambda: len(page.frames) > 1 and page.frames[1].url.startswith("chrome-error:"),
    )


def _tab_to(page: Any, wanted: str) -> None:
    """Press Tab until something has the focus whose text, or whose id, is this."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("[document.activeElement.textContent.trim(), document.activeElement.id]").count(wanted):
            return
    raise AssertionError(f"{wanted} can't be reached by Tab")
