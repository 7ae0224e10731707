"""The shop's orders, one partition a day: a backfill over them can flood the queue."""

import random

import dagster as dg

from code_location_a.work import Work

days = dg.DailyPartitionsDefinition(start_date="2026-01-01")
_PRICES = {"bolt": 0.4, "hinge": 3.5, "lock": 18.0}


def orders_of(day: str) -> dict[str, int]:
    """How many of each article were ordered on a day; the same answer for the same day."""
    dice = random.Random(day)  # noqa: S311 - sample data, no secret
    return {article: dice.randint(1, 40) for article in _PRICES}


@dg.asset(partitions_def=days, group_name="shop", kinds={"python"})
def orders(context: dg.AssetExecutionContext, config: Work) -> dg.MaterializeResult:
    """A day's orders. Its metadata is what other code locations read."""
    config.wait()
    ordered = orders_of(context.partition_key)
    rows = [f"| {article} | {count} | {count * _PRICES[article]:.2f} |" for article, count in ordered.items()]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(ordered.values()),
            "revenue": round(sum(count * _PRICES[article] for article, count in ordered.items()), 2),
            "articles": dg.MetadataValue.md("\n".join(["| article | ordered | EUR |", "|---|---|---|", *rows])),
        }
    )


orders_job = dg.define_asset_job("orders_job", selection=[orders], description="One day's orders.")
