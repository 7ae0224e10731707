"""The overlay standby: two daemons, of which one waits."""

from tests.overlays.rendering import instance_of, manifests_of, one, rendered

DAEMON = "dagster-daemon"


def test_there_are_two_daemons_and_a_new_one_comes_before_an_old_one_goes() -> None:
    """All else of the release is as it was."""
    objects, before = rendered("standby"), rendered()
    spec = one(objects, "Deployment", DAEMON)["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    for name in {each["metadata"]["name"] for each in before if each["kind"] == "Deployment"} - {DAEMON}:
        assert (
            one(objects, "Deployment", name)["spec"]["replicas"]
            == one(before, "Deployment", name)["spec"]["replicas"]
        )


def test_each_waits_for_the_other() -> None:
    """The option that makes it so, beside those of the values."""
    limits = instance_of(rendered("standby"))["run_coordinator"]["config"]["code_location_limits"]
    assert limits["standby"] is True
    assert limits["locations"]


def test_a_drain_leaves_one_of_them() -> None:
    """The budget is about the pods of the daemon."""
    (budget,) = manifests_of("standby")
    labels = one(rendered("standby"), "Deployment", DAEMON)["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert budget["spec"]["minAvailable"] == 1
