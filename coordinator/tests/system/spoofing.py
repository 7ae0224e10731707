"""A code location that claims, wherever its code can, to be another one."""

import dagster as dg
from clt_queued_run_coordinator.coordinator import CLT_TAG_KEY

SPOOFED = {CLT_TAG_KEY: "other"}


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job(tags=SPOOFED)
def spoofing_job() -> None:
    """A job whose own tags name another code location."""
    nothing()


@dg.schedule(cron_schedule="* * * * *", job=spoofing_job)
def spoofing_schedule() -> dg.RunRequest:
    """Each minute a run whose tags name another code location."""
    return dg.RunRequest(tags=SPOOFED)


@dg.sensor(job=spoofing_job, minimum_interval_seconds=1)
def spoofing_sensor() -> dg.RunRequest:
    """One run whose tags name another code location."""
    return dg.RunRequest(run_key="once", tags=SPOOFED)


@dg.asset(automation_condition=dg.AutomationCondition.missing() & ~dg.AutomationCondition.in_progress())
def spoofed_asset() -> None:
    """An asset that is materialized by automation as long as it is missing."""


spoofing_automation = dg.AutomationConditionSensorDefinition(
    "spoofing_automation", target=dg.AssetSelection.all(), run_tags=SPOOFED, minimum_interval_seconds=1
)

defs = dg.Definitions(
    assets=[spoofed_asset],
    jobs=[spoofing_job],
    schedules=[spoofing_schedule],
    sensors=[spoofing_sensor, spoofing_automation],
    executor=dg.in_process_executor,
)
