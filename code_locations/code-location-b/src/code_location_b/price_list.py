"""The price list abroad, made anew by declarative automation."""

import dagster as dg

from code_location_b.shop import EXCHANGE_RATES, latest_metadata
from code_location_b.work import Work

_PRICE_OF_A_LOCK = 18.0


@dg.asset(
    deps=[EXCHANGE_RATES],
    automation_condition=dg.AutomationCondition.eager(),
    group_name="accounts",
    kinds={"python"},
)
def price_list(context: dg.AssetExecutionContext, config: Work) -> dg.MaterializeResult:
    """The prices in each currency, each time the shop's exchange rates change."""
    rates = latest_metadata(context.instance, EXCHANGE_RATES)["rates"]
    config.wait()
    rows = [f"| {currency} | {_PRICE_OF_A_LOCK * rate:.2f} |" for currency, rate in sorted(rates.items())]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "prices": dg.MetadataValue.md("\n".join(["| currency | a lock |", "|---|---|", *rows])),
        }
    )
