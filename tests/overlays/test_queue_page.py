"""The page of the queue under Dagster's host, as the values deploy it."""

from tests.overlays.rendering import one, rendered
from tests.overlays.selecting import pods_of, selects

WEBSERVER = "dagster-dagster-webserver"


def test_the_ingress_leads_to_the_container_beside_the_webserver() -> None:
    """The path before Dagster's own, the Service, the labels of the pod, and the port of the container."""
    objects = rendered(settings=["ingress.enabled=true"])
    (rule,) = [rule for each in objects if each["kind"] == "Ingress" for rule in each["spec"]["rules"]]
    page, dagster = rule["http"]["paths"]
    assert (page["path"], page["pathType"], dagster["path"]) == ("/queue", "Prefix", "/")
    backend = page["backend"]["service"]
    service = one(objects, "Service", backend["name"])["spec"]
    (port,) = service["ports"]
    assert port["port"] == backend["port"]["number"]
    assert selects({"matchLabels": service["selector"]}, pods_of(objects)[WEBSERVER])

    pod = one(objects, "Deployment", WEBSERVER)["spec"]["template"]["spec"]
    (container,) = [each for each in pod["containers"] if each["name"] == "page"]
    (listening,) = container["ports"]
    assert listening["name"] == port["targetPort"]
    command = container["command"]
    assert command[command.index("--port") + 1] == str(listening["containerPort"])
    assert command[command.index("--path-prefix") + 1] == page["path"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["dagster-workspace-yaml"] == "/dagster-workspace/"
    assert mounts.keys() <= {volume["name"] for volume in pod["volumes"]}
    assert "--allow-changes" not in command
