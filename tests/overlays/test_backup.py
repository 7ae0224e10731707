"""The overlay `backup`: it reaches the database of the release."""

from tests.chart import location_names
from tests.overlays.rendering import NAMESPACE, container_context_of, manifests_of, one, rendered

OVERLAY = "backup"


def test_it_reaches_the_releases_own_database() -> None:
    """Service, user, database, Secret and image are those of the chart's PostgreSQL."""
    database = one(rendered(), "StatefulSet", "dagster-postgresql")["spec"]["template"]["spec"]["containers"][0]
    job = one(manifests_of(OVERLAY), "CronJob", "dagster-backup")["spec"]["jobTemplate"]
    backup = job["spec"]["template"]["spec"]["containers"][0]
    served = {each["name"]: each for each in database["env"]}
    used = {each["name"]: each for each in backup["env"]}
    assert used["PGUSER"]["value"] == served["POSTGRES_USER"]["value"]
    assert used["PGDATABASE"]["value"] == served["POSTGRES_DB"]["value"]
    assert used["PGPASSWORD"]["valueFrom"] == served["POSTGRES_PASSWORD"]["valueFrom"]
    assert one(rendered(), "Service", used["PGHOST"]["value"])
    assert backup["image"].endswith("/" + database["image"].removeprefix("docker.io/"))


def test_a_runs_namespace_is_that_of_the_release() -> None:
    """The chart gives it to each run, so a restored queue needs a namespace of the same name: docs/backup.md."""
    assert container_context_of(rendered(), location_names()[0])["namespace"] == NAMESPACE
