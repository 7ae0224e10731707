"""The exchange rates that the shop sells at."""

import random
from statistics import fmean

import dagster as dg

from code_location_a.work import Work

_RATES = {"GBP": 0.86, "USD": 1.09}


@dg.asset(group_name="shop", owners=["team:shop"], kinds={"python"})
def exchange_rates(config: Work) -> dg.MaterializeResult:
    """One euro in each currency: the mean of many quotes. Its metadata is what other code locations read."""
    dice = random.Random(config.rows)
    rates = {"EUR": 1.0}
    for currency, rate in _RATES.items():
        quotes = (dice.uniform(0.98 * rate, 1.02 * rate) for _ in range(config.rows))
        rates[currency] = round(fmean(quotes), 4)
    return dg.MaterializeResult(metadata={"rates": dg.MetadataValue.json(rates), "dagster/row_count": len(rates)})
