"""What the shop's definitions share."""

import dagster as dg

from code_location_a.till import Till


@dg.definitions
def resources() -> dg.Definitions:
    """The till, under the name that assets ask for it by."""
    return dg.Definitions(resources={"till": Till(shop="bolts and locks")})
