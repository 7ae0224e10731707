"""What this code location reads of `code-location-a`: the metadata of its assets, from the event log.

The runs of two code locations share no files, on Kubernetes not even a disk. The event log is the one
place that both reach.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

ORDERS = dg.AssetKey("orders")
EXCHANGE_RATES = dg.AssetKey("exchange_rates")


def latest_metadata(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None = None
) -> Mapping[str, Any]:
    """The metadata of an asset's latest materialization.

    Args:
        instance: Where the event log is.
        asset: The asset's key.
        partition: Its partition, None for an asset without partitions.

    Raises:
        dagster.Failure: It was never materialized.
    """
    materializations = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition] if partition else None), limit=1
    ).records
    if not materializations or not (event := materializations[0].asset_materialization):
        name = f"{asset.to_user_string()}[{partition}]" if partition else asset.to_user_string()
        raise dg.Failure(f"{name} was never materialized: materialize it in code-location-a first.")
    return {key: value.value for key, value in event.metadata.items()}
