"""`concurrency.runs` of the instance beside the coordinator: what is refused, and which total holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from clt_queued_run_coordinator.config.kinds import ConfigurationError
from clt_queued_run_coordinator.coordinator import CLTQueuedRunCoordinator
from dagster import DagsterInstance, DagsterInvalidConfigError
from dagster._core.instance.ref import InstanceRef
from tests.in_process.storages import on_one_storage
from tests.run_queue import MODULE, RunQueue

MakeRunQueue = Callable[..., RunQueue]

OURS = {"module": MODULE, "class": "CLTQueuedRunCoordinator"}
DAGSTERS_OWN = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
SHIPPED_VALUES = Path(__file__).parents[3] / "deploy" / "values.yaml"


def configured(folder: Path, **settings: Any) -> Path:
    """A folder whose dagster.yaml holds these settings."""
    (folder / "dagster.yaml").write_text(yaml.safe_dump({"telemetry": {"enabled": False}, **settings}))
    return folder


@pytest.mark.parametrize("present", [[{"key": "database", "limit": 1}], [], None], ids=["entry", "empty", "null"])
def test_tag_limits_of_the_instance_beside_our_limits_are_refused(run_queue: MakeRunQueue, present: Any) -> None:
    """Dagster goes by the key: an empty one replaces every limit too. One line with key, cause and cure."""
    shadowing = {"runs": {"tag_concurrency_limits": present}}
    with pytest.raises(ConfigurationError, match="remove the key") as raised:
        _ = run_queue(shadowing, code_location_limits={"default": 2}).coordinator
    assert str(raised.value) == (
        "The instance's concurrency.runs.tag_concurrency_limits replaces the coordinator's code_location_limits,"
        " even if it is empty; remove the key, or move its entries to"
        " run_coordinator.config.tag_concurrency_limits."
    )


@pytest.mark.parametrize("present", [[], None], ids=["empty", "null"])
def test_every_later_look_at_a_refused_coordinator_is_refused_too(tmp_path: Path, present: Any) -> None:
    """A webserver asks again at its next launch."""
    coordinator = {**OURS, "config": {"code_location_limits": {"default": 2}}}
    folder = configured(
        tmp_path, run_coordinator=coordinator, concurrency={"runs": {"tag_concurrency_limits": present}}
    )
    with DagsterInstance.from_config(str(folder)) as instance:
        for _ in range(3):
            with pytest.raises(ConfigurationError, match="remove the key"):
                _ = instance.run_coordinator


def test_a_total_of_the_instance_is_the_one_that_holds(run_queue: MakeRunQueue) -> None:
    """`concurrency.runs.max_concurrent_runs` is enough; the limits of code locations hold beside it."""
    queue = run_queue({"runs": {"max_concurrent_runs": 3}}, code_location_limits={"default": 2})
    queue.queue("code-location-a", 5)
    queue.queue("code-location-b", 5)
    assert queue.tick() == {"code-location-a": 2, "code-location-b": 1}
    assert queue.coordinator.own_max_concurrent_runs is None


@on_one_storage
@pytest.mark.parametrize(
    ("of_instance", "own", "refused"), [(5, 20, True), (20, 5, False), (None, 5, True), (-1, 5, False)]
)
def test_minimums_are_judged_by_the_total_that_holds(
    run_queue: MakeRunQueue, of_instance: int | None, own: int, refused: bool
) -> None:
    """The instance's, where it has one."""
    concurrency = {"runs": {"max_concurrent_runs": of_instance}} if of_instance else {}
    options: dict[str, Any] = {
        "max_concurrent_runs": own,
        "code_location_limits": {"locations": {"a": {"min": 6}}},
    }
    if not refused:
        assert run_queue(concurrency, **options).tick() == {}
        return
    key = "the instance's concurrency.runs.max_concurrent_runs" if of_instance else "max_concurrent_runs"
    with pytest.raises(ConfigurationError) as raised:
        run_queue(concurrency, **options)
    assert str(raised.value) == (
        f"code_location_limits reserves 6 slots (locations.a 6), but {key} is 5; lower a min, or raise the total"
        " to 6 or more."
    )


def shipped() -> tuple[dict[str, Any], dict[str, Any]]:
    """The coordinator's options and `concurrency` as the shipped values write them into dagster.yaml."""
    values = yaml.safe_load(SHIPPED_VALUES.read_text())
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    return coordinator["config"], values["additionalInstanceConfig"]["concurrency"]


def test_the_shipped_values_pass_dagsters_refusal_by_the_name_of_our_class(tmp_path: Path) -> None:
    """Dagster refuses `concurrency` beside a coordinator's own total, but only of a class `QueuedRunCoordinator`.

    The shipped values have both: the total belongs to the limits, and the pools to the instance. Were the
    refusal to go by what a class is, or our class to get that name, no daemon would start with them.
    """
    config, concurrency = shipped()
    assert config["max_concurrent_runs"]
    assert concurrency["pools"]
    folder = configured(tmp_path, run_coordinator={**OURS, "config": config}, concurrency=concurrency)
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(folder))) as instance:
        assert isinstance(instance.run_coordinator, CLTQueuedRunCoordinator)
        assert instance.run_coordinator.own_max_concurrent_runs
        queue_config = instance.get_concurrency_config().run_queue_config
        assert queue_config
        assert queue_config.max_concurrent_runs == config["max_concurrent_runs"]


def test_dagster_refuses_the_same_of_its_own_class(tmp_path: Path) -> None:
    """Why the class's name matters; see docs/moving.md."""
    config, concurrency = shipped()
    own = {"max_concurrent_runs": config["max_concurrent_runs"]}
    folder = configured(tmp_path, run_coordinator={**DAGSTERS_OWN, "config": own}, concurrency=concurrency)
    with pytest.raises(DagsterInvalidConfigError, match=r"in `run_coordinator` which is incompatible"):
        InstanceRef.from_dir(str(folder))
