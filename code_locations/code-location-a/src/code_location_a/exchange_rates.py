"""The exchange rates that the shop sells at."""

import dagster as dg

from code_location_a.work import Work

_RATES = {"EUR": 1.0, "GBP": 0.86, "USD": 1.09}


@dg.asset(group_name="shop", kinds={"python"})
def exchange_rates(config: Work) -> dg.MaterializeResult:
    """One euro in each currency. Its metadata is what other code locations read."""
    config.wait()
    return dg.MaterializeResult(
        metadata={"rates": dg.MetadataValue.json(_RATES), "dagster/row_count": len(_RATES)}
    )
