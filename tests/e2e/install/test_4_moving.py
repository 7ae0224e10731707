"""From our coordinator to Dagster's own one and, in two steps, back: under load, nothing is lost."""

import logging
import time
from typing import Any

from harness.waiting import wait_until

from tests.chart import location_names
from tests.e2e.deployment import Deployment, limits
from tests.e2e.runs import TAG, burst, held, histories, succeeded, wait_for_end
from tests.e2e.webserver import Webserver

log = logging.getLogger(__name__)
STOCK_IMAGES = {name: f"{image}-stock" for name, image in {"daemon": "system", "webserver": "system"}.items()} | {
    location: f"{location}-stock" for location in location_names()
}


def launch(webserver: Webserver, **counts: int) -> list[str]:
    """Launch short runs of both code locations: `a` and `b` of them."""
    locations = dict(zip("ab", location_names(), strict=True))
    return webserver.launch(
        [each for name, count in counts.items() for each in burst(locations[name], count, seconds=3)]
    )


def in_progress(webserver: Webserver, run_ids: list[str]) -> list[dict[str, Any]]:
    """Those of the runs that are in progress."""
    return webserver.runs(run_ids, statuses=["STARTING", "STARTED"])


def test_back_to_the_stock_coordinator(deployment: Deployment, webserver: Webserver) -> None:
    """Images without the package and Dagster's own coordinator, in one upgrade: the queue goes on."""
    run_ids = launch(webserver, a=5, b=6)
    log.info("upgrading to the stock coordinator and images without the package")
    deployment.upgrade(stock_coordinator=True, images=STOCK_IMAGES)
    succeeded(wait_for_end(webserver, run_ids))


def test_two_steps_from_the_stock_coordinator(deployment: Deployment, webserver: Webserver) -> None:
    """First the images, then the coordinator: every run succeeds, and from the switch on the limits hold."""
    old = launch(webserver, a=4, b=4)
    log.info("first step: images that hold the package, the stock coordinator as before")
    deployment.upgrade(stock_coordinator=True)
    webserver.wait_for_images({name: ":".join(deployment.image(name)) for name in location_names()})
    log.info("letting the runs that were queued with the old images drain")
    succeeded(wait_for_end(webserver, old))

    limited = location_names()[0]
    long = webserver.launch(burst(limited, limits()[limited] + 2, seconds=45))
    queued = launch(webserver, a=4, b=6)
    wait_until(
        "more runs in progress than the limit allows",
        lambda: len(in_progress(webserver, long)) > limits()[limited],
        every=1,
    )
    log.info("second step: the coordinator")
    deployment.upgrade()
    switched = time.time()
    (daemon,) = deployment.cluster.pods("dagster-daemon")
    log.info("daemon %s is up", daemon["metadata"]["name"])

    runs = wait_for_end(webserver, [*long, *queued])
    succeeded(runs)
    found = {each.run_id: each for each in histories(webserver, runs)}
    of_the_new_daemon = {run["id"] for run in runs if TAG in run["tags"]}
    assert of_the_new_daemon
    assert set(long).isdisjoint(of_the_new_daemon)
    late = {run_id for run_id, each in found.items() if each.in_progress[0].start >= switched}
    assert late <= of_the_new_daemon
    since = min(found[run_id].in_progress[0].start for run_id in of_the_new_daemon)
    held(list(found.values()), limits(), total=5, since=since)
