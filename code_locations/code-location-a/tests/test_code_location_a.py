"""The shop's code location: it loads, and its assets, job and schedule do what they say."""

import importlib

import dagster as dg
import pytest
from code_location_a import search_index
from code_location_a.definitions import defs
from code_location_a.exchange_rates import exchange_rates
from code_location_a.orders import orders, orders_of

NO_WAIT = {"config": {"seconds": 0}}


def test_everything_loads() -> None:
    """Dagster can load every definition."""
    dg.Definitions.validate_loadable(defs)


def test_orders_are_the_same_for_the_same_day() -> None:
    """A partition made anew has the same orders."""
    assert orders_of("2026-01-01") == orders_of("2026-01-01") != orders_of("2026-01-02")


def test_orders_tell_their_revenue() -> None:
    """A day's materialization carries the metadata that other code locations read."""
    result = dg.materialize(
        [orders], partition_key="2026-01-01", run_config={"ops": {"orders": NO_WAIT}}, raise_on_error=True
    )
    metadata = result.asset_materializations_for_node("orders")[0].metadata
    revenue, rows = metadata["revenue"].value, metadata["dagster/row_count"].value
    assert isinstance(revenue, float)
    assert revenue > 0
    assert rows == sum(orders_of("2026-01-01").values())


def test_exchange_rates_are_in_the_metadata() -> None:
    """The materialization carries the rate of each currency."""
    result = dg.materialize([exchange_rates], run_config={"ops": {"exchange_rates": NO_WAIT}})
    rates = result.asset_materializations_for_node("exchange_rates")[0].metadata["rates"].value
    assert isinstance(rates, dict)
    assert rates["EUR"] == 1.0


def test_the_job_fails_where_it_is_told_to() -> None:
    """The first attempt fails in its second step, so that a retry has something to do."""
    result = search_index.refresh_search_index.execute_in_process(
        run_config={"ops": {"collect": NO_WAIT, "publish": {"config": {"fail_first_attempt": True}}}},
        raise_on_error=False,
    )
    assert [event.step_key for event in result.get_step_success_events()] == ["collect"]
    assert [event.step_key for event in result.get_step_failure_events()] == ["publish"]


def test_the_environment_changes_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule's cron is hourly, or what REFRESH_SEARCH_INDEX_CRON says."""
    assert search_index.refresh_search_index_schedule.cron_schedule == "0 * * * *"
    monkeypatch.setenv("REFRESH_SEARCH_INDEX_CRON", "*/5 * * * *")
    changed = importlib.reload(search_index).refresh_search_index_schedule.cron_schedule
    monkeypatch.undo()
    importlib.reload(search_index)
    assert changed == "*/5 * * * *"
