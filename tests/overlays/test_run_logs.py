"""The overlay `run-logs`: who writes and reads the bucket has its keys."""

from tests.overlays.rendering import instance_of, one, rendered

OVERLAY = "run-logs"
SECRET = "run-logs"  # noqa: S105 - its name


def test_the_instance_keeps_run_logs_in_the_bucket() -> None:
    """The part of dagster.yaml that every pod reads."""
    instance = instance_of(rendered(OVERLAY))
    logs = instance["compute_logs"]
    assert (logs["module"], logs["class"]) == ("dagster_aws.s3.compute_log_manager", "S3ComputeLogManager")
    assert logs["config"]["bucket"] == "dagster-run-logs"
    assert SECRET in instance["run_launcher"]["config"]["env_secrets"]


def test_webserver_and_daemon_have_the_keys() -> None:
    """By the Secret's name, in the container that runs Dagster."""
    objects = rendered(OVERLAY)
    for name in ("dagster-dagster-webserver", "dagster-daemon"):
        container = one(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        assert {"secretRef": {"name": SECRET}} in container["envFrom"]
