"""The shop's orders, one partition a day: a backfill over them can flood the queue."""

import dagster as dg

from code_location_a.till import PRICES, Till
from code_location_a.work import Work

days = dg.DailyPartitionsDefinition(start_date="2026-01-01")


@dg.asset(
    partitions_def=days,
    group_name="shop",
    owners=["team:shop"],
    kinds={"python"},
    check_specs=[dg.AssetCheckSpec("every_article_sells", asset="orders")],
)
def orders(context: dg.AssetExecutionContext, config: Work, till: Till) -> dg.MaterializeResult:
    """A day's orders. Its metadata is what other code locations read."""
    ordered = till.ordered(context.partition_key, config.rows)
    revenue = {article: round(count * PRICES[article], 2) for article, count in sorted(ordered.items())}
    unsold = sorted(PRICES.keys() - ordered.keys())
    lines = [f"| {article} | {ordered[article]} | {euros:.2f} |" for article, euros in revenue.items()]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": config.rows,
            "revenue": round(sum(revenue.values()), 2),
            "articles": dg.MetadataValue.md("\n".join(["| article | ordered | EUR |", "|---|---|---|", *lines])),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not unsold, severity=dg.AssetCheckSeverity.WARN, metadata={"unsold": ", ".join(unsold)}
            )
        ],
    )


orders_job = dg.define_asset_job("orders_job", selection=[orders], description="One day's orders.")
