"""The accounts' code location: it loads, and reads what the shop wrote to the event log."""

from collections.abc import Iterator

import dagster as dg
import pytest
from code_location_b.books import close_books
from code_location_b.definitions import defs
from code_location_b.invoices import invoices, new_orders
from code_location_b.price_list import price_list
from code_location_b.shop import EXCHANGE_RATES, ORDERS

NO_WAIT = {"config": {"seconds": 0}}
DAY = "2026-01-01"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance with an empty event log."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_everything_loads() -> None:
    """Dagster can load every definition."""
    dg.Definitions.validate_loadable(defs)


def test_invoices_read_the_orders_from_the_event_log(instance: dg.DagsterInstance) -> None:
    """The invoices of a day are made of the revenue that the shop's run wrote."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(ORDERS, partition=DAY, metadata={"revenue": 100.0})
    )
    result = dg.materialize(
        [invoices], instance=instance, partition_key=DAY, run_config={"ops": {"invoices": NO_WAIT}}
    )
    metadata = result.asset_materializations_for_node("invoices")[0].metadata
    assert (metadata["net"].value, metadata["tax"].value, metadata["gross"].value) == (100.0, 19.0, 119.0)


def test_invoices_say_which_orders_are_missing(instance: dg.DagsterInstance) -> None:
    """Without the day's orders the run fails with a message that names them."""
    with pytest.raises(dg.Failure, match=r"orders\[2026-01-01\] was never materialized"):
        dg.materialize([invoices], instance=instance, partition_key=DAY, run_config={"ops": {"invoices": NO_WAIT}})


def test_the_price_list_has_a_row_for_each_currency(instance: dg.DagsterInstance) -> None:
    """The price list is made of the exchange rates in the event log."""
    rates = {"EUR": 1.0, "USD": 1.09}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(EXCHANGE_RATES, metadata={"rates": dg.MetadataValue.json(rates)})
    )
    result = dg.materialize([price_list], instance=instance, run_config={"ops": {"price_list": NO_WAIT}})
    prices = result.asset_materializations_for_node("price_list")[0].metadata["prices"].value
    assert isinstance(prices, str)
    assert "| USD | 19.62 |" in prices


def test_the_books_close() -> None:
    """The job of one step succeeds."""
    assert close_books.execute_in_process(run_config={"ops": {"balance": NO_WAIT}}).success


def test_the_sensor_asks_for_a_run_for_each_day_once(instance: dg.DagsterInstance) -> None:
    """Each day whose orders arrive gets one run; the next tick skips."""
    for day in (DAY, "2026-01-02"):
        instance.report_runless_asset_event(dg.AssetMaterialization(ORDERS, partition=day))
    first = new_orders(dg.build_sensor_context(instance=instance))
    assert isinstance(first, dg.SensorResult)
    assert [request.partition_key for request in first.run_requests or []] == [DAY, "2026-01-02"]
    assert isinstance(new_orders(dg.build_sensor_context(instance=instance, cursor=first.cursor)), dg.SkipReason)
