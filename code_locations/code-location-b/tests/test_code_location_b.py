"""The accounts' code location: it loads, and reads what the shop wrote to the event log."""

from collections.abc import Iterator

import dagster as dg
import pytest
from code_location_b.definitions import defs
from code_location_b.defs.books import close_books
from code_location_b.defs.invoices import invoices, new_orders, shared_out
from code_location_b.defs.price_list import price_list
from code_location_b.shop import EXCHANGE_RATES, ORDERS

FEW = {"config": {"rows": 100}}
DAY = "2026-01-01"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance with an empty event log."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_everything_loads() -> None:
    """Dagster can load every definition, and finds the assets in the folder."""
    loaded = defs()
    dg.Definitions.validate_loadable(loaded)
    found = loaded.resolve_asset_graph().materializable_asset_keys
    assert {asset.to_user_string() for asset in found} == {"invoices", "price_list"}


def test_invoices_read_the_orders_from_the_event_log(instance: dg.DagsterInstance) -> None:
    """The invoices of a day are made of the revenue that the shop's run wrote."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(ORDERS, partition=DAY, metadata={"revenue": 100.0})
    )
    result = dg.materialize(
        [invoices], instance=instance, partition_key=DAY, run_config={"ops": {"invoices": FEW}}
    )
    metadata = result.asset_materializations_for_node("invoices")[0].metadata
    assert (metadata["net"].value, metadata["tax"].value, metadata["gross"].value) == (100.0, 19.0, 119.0)
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]


def test_nothing_is_lost_between_the_invoices() -> None:
    """Together the invoices are over the whole amount, however many there are."""
    assert [sum(shared_out(10_001, invoices)) for invoices in (1, 2, 100)] == [10_001] * 3
    assert len(shared_out(10_001, 100)) == 100


def test_invoices_say_which_orders_are_missing(instance: dg.DagsterInstance) -> None:
    """Without the day's orders the run fails with a message that names them."""
    with pytest.raises(dg.Failure, match=r"orders\[2026-01-01\] was never materialized"):
        dg.materialize([invoices], instance=instance, partition_key=DAY, run_config={"ops": {"invoices": FEW}})


def test_the_price_list_has_a_row_for_each_currency(instance: dg.DagsterInstance) -> None:
    """The price list is made of the exchange rates in the event log."""
    rates = {"EUR": 1.0, "USD": 1.09}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(EXCHANGE_RATES, metadata={"rates": dg.MetadataValue.json(rates)})
    )
    result = dg.materialize([price_list], instance=instance, run_config={"ops": {"price_list": FEW}})
    prices = result.asset_materializations_for_node("price_list")[0].metadata["prices"].value
    assert isinstance(prices, str)
    assert [line.split(" | ")[0] for line in prices.splitlines()[2:]] == ["| EUR", "| USD"]


def test_the_books_close() -> None:
    """The job of one step succeeds."""
    assert close_books.execute_in_process(run_config={"ops": {"balance": FEW}}).success


def test_the_sensor_asks_for_a_run_for_each_day_once(instance: dg.DagsterInstance) -> None:
    """Each day whose orders arrive gets one run; the next tick skips."""
    for day in (DAY, "2026-01-02"):
        instance.report_runless_asset_event(dg.AssetMaterialization(ORDERS, partition=day))
    first = new_orders(dg.build_sensor_context(instance=instance))
    assert isinstance(first, dg.SensorResult)
    assert [request.partition_key for request in first.run_requests or []] == [DAY, "2026-01-02"]
    assert isinstance(new_orders(dg.build_sensor_context(instance=instance, cursor=first.cursor)), dg.SkipReason)
