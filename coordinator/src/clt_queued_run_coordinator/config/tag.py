"""The code location that a run comes from, and the key of the tag that names it."""

from clt_queued_run_coordinator._dagster import DagsterRun

CLT_TAG_KEY = "code_location"
"""The key of the tag on every queued run. The value is the name of the run's code location."""

PAGE_TAG_KEY = "queue_page"
"""The key of the tag with the address of a run's page, where `page_url` is configured."""


def page_tag(run: DagsterRun, page_url: str | None) -> dict[str, str]:
    """The tag with the address of a run's page; empty if there is no such page."""
    return {PAGE_TAG_KEY: f"{page_url.rstrip('/')}/run?id={run.run_id}"} if page_url else {}


def code_location_of(run: DagsterRun | None) -> str | None:
    """The name of the code location that a run was created from; None if the run has no origin."""
    origin = run.remote_job_origin if run else None
    return origin.location_name if origin else None


SLOTS_TAG = "slots"
"""The key of a tag by which users ask for more slots for a run than its resources need."""

TAKES_SLOTS_TAG = "takes_slots"
"""The key of the tag that says how many slots a run takes, where `slot` is configured. A submit writes it."""

RESOURCES_TAGS = ("dagster-k8s/config", "dagster-k8s/resource_requirements")
"""The keys of the tags by which a run asks Kubernetes for resources. The second is dagster-k8s' older one."""
