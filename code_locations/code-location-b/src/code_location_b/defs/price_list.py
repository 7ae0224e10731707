"""The price list abroad, made anew by declarative automation."""

import random
from statistics import fmean

import dagster as dg

from code_location_b.shop import EXCHANGE_RATES, latest_metadata
from code_location_b.work import Work


@dg.asset(
    deps=[EXCHANGE_RATES],
    automation_condition=dg.AutomationCondition.eager(),
    group_name="accounts",
    owners=["team:accounts"],
    kinds={"python"},
)
def price_list(context: dg.AssetExecutionContext, config: Work) -> dg.MaterializeResult:
    """The prices in each currency, each time the shop's exchange rates change."""
    rates = latest_metadata(context.instance, EXCHANGE_RATES)["rates"]
    dice = random.Random(config.rows)
    euros = [round(dice.uniform(0.4, 18), 2) for _ in range(config.rows)]
    lines = [
        f"| {currency} | {fmean(price * rate for price in euros):.2f} | {max(euros) * rate:.2f} |"
        for currency, rate in sorted(rates.items())
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(euros),
            "prices": dg.MetadataValue.md("\n".join(["| currency | mean | highest |", "|---|---|---|", *lines])),
        }
    )
