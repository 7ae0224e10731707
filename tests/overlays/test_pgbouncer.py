"""The overlay `pgbouncer`: one way to the database for all, and the settings that keep it from freezing."""

from configparser import ConfigParser

from tests.overlays.rendering import instance_of, manifests_of, one, rendered

OVERLAY = "pgbouncer"


def settings() -> ConfigParser:
    """PgBouncer's configuration."""
    config = ConfigParser()
    config.read_string(one(manifests_of(OVERLAY), "ConfigMap", "pgbouncer")["data"]["pgbouncer.ini"])
    return config


def test_the_instance_connects_to_the_service() -> None:
    """Host and port of each storage are PgBouncer's Service, and the chart's own database is gone."""
    objects = rendered(OVERLAY)
    instance = instance_of(objects)
    service = one(manifests_of(OVERLAY), "Service", "pgbouncer")
    for storage in ("event_log_storage", "run_storage", "schedule_storage"):
        database = instance[storage]["config"]["postgres_db"]
        assert (database["hostname"], database["port"]) == ("pgbouncer", service["spec"]["ports"][0]["port"])
        assert database["db_name"] in settings()["databases"]
    assert [each for each in objects if each["kind"] == "StatefulSet"] == []


def test_a_full_pool_ends_in_an_error() -> None:
    """Waits are bounded, and a submit that waits with a connection in its hand isn't taken for one that hangs."""
    pool = settings()["pgbouncer"]
    assert 0 < int(pool["query_wait_timeout"]) < int(pool["idle_transaction_timeout"])


def test_a_connection_comes_back_as_it_was() -> None:
    """With transaction pooling only this option resets what a client has set."""
    pool = settings()["pgbouncer"]
    assert (pool["pool_mode"], pool["server_reset_query_always"]) == ("transaction", "1")


def test_the_replicas_have_the_service_and_the_budget_in_common() -> None:
    """One selector for all three, and one replica may go."""
    manifests = manifests_of(OVERLAY)
    deployment = one(manifests, "Deployment", "pgbouncer")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    budget = one(manifests, "PodDisruptionBudget", "pgbouncer")["spec"]
    assert one(manifests, "Service", "pgbouncer")["spec"]["selector"] == labels
    assert budget["selector"]["matchLabels"] == labels
    assert budget["minAvailable"] < deployment["replicas"]


def test_a_webserver_uses_no_connection_that_a_rollout_has_cut() -> None:
    """It replaces those that are older than the time between the last new client and the cut."""
    webserver = one(rendered(OVERLAY), "Deployment", "dagster-dagster-webserver")
    container, *_ = webserver["spec"]["template"]["spec"]["containers"]
    command = " ".join(container["command"])
    assert "--db-pool-recycle 3" in command
    deployment = one(manifests_of(OVERLAY), "Deployment", "pgbouncer")["spec"]
    lifecycle = deployment["template"]["spec"]["containers"][0]["lifecycle"]
    assert "sleep 5; kill" in lifecycle["preStop"]["exec"]["command"][-1]
