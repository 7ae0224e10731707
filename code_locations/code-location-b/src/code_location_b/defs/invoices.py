"""The invoices of each day's orders, made when the orders arrive."""

import os
import random
from itertools import pairwise

import dagster as dg

from code_location_b.shop import ORDERS, latest_metadata
from code_location_b.work import Work

days = dg.DailyPartitionsDefinition(start_date="2026-01-01")


@dg.asset(
    partitions_def=days,
    deps=[ORDERS],
    pool="ledger",
    group_name="accounts",
    owners=["team:accounts"],
    kinds={"python"},
    check_specs=[dg.AssetCheckSpec("all_is_invoiced", asset="invoices")],
)
def invoices(context: dg.AssetExecutionContext, config: Work) -> dg.MaterializeResult:
    """The invoices of a day. The pool lets one run at a time write to the ledger."""
    ordered = latest_metadata(context.instance, ORDERS, context.partition_key)
    revenue = round(100 * float(ordered["revenue"]))
    cents = shared_out(revenue, config.rows)
    net = sum(cents)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(cents),
            "net": net / 100,
            "tax": round(net * 0.19) / 100,
            "gross": round(net * 1.19) / 100,
        },
        check_results=[dg.AssetCheckResult(passed=net == revenue, metadata={"revenue": revenue / 100})],
    )


def shared_out(cents: int, invoices: int) -> list[int]:
    """An amount shared out among some invoices, by chance: what each of them is over, in cents."""
    dice = random.Random(cents)
    ends = sorted(int(dice.random() * cents) for _ in range(invoices - 1))
    return [end - begin for begin, end in pairwise([0, *ends, cents])]


invoices_job = dg.define_asset_job("invoices_job", selection=[invoices], description="One day's invoices.")


# Off where it is deployed, as every sensor in Dagster that somebody has still to agree to; on in `make dev`.
NEW_ORDERS = (
    dg.DefaultSensorStatus.RUNNING if os.environ.get("NEW_ORDERS") == "on" else dg.DefaultSensorStatus.STOPPED
)


@dg.sensor(job=invoices_job, minimum_interval_seconds=5, default_status=NEW_ORDERS)
def new_orders(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run of `invoices_job` for each day whose orders were materialized since the last tick."""
    materialized = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=ORDERS, after_storage_id=int(context.cursor or 0)),
        limit=25,
        ascending=True,
    ).records
    if not materialized:
        return dg.SkipReason("No orders since the last tick.")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=str(record.storage_id), partition_key=record.partition_key)
            for record in materialized
            if record.partition_key
        ],
        cursor=str(materialized[-1].storage_id),
    )
