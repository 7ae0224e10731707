"""The shop's code location: it loads, and its assets, job and schedule do what they say."""

import importlib

import dagster as dg
import pytest
from code_location_a.definitions import defs
from code_location_a.defs import search_index
from code_location_a.defs.exchange_rates import exchange_rates
from code_location_a.defs.orders import orders
from code_location_a.till import Till

FEW = {"config": {"rows": 100}}
TILL = Till(shop="of a test")
DAY = "2026-01-01"


def test_everything_loads() -> None:
    """Dagster can load every definition, and finds the assets in the folder."""
    loaded = defs()
    dg.Definitions.validate_loadable(loaded)
    found = loaded.resolve_asset_graph().materializable_asset_keys
    assert {asset.to_user_string() for asset in found} == {"exchange_rates", "orders"}


def test_orders_are_the_same_for_the_same_day() -> None:
    """A partition made anew has the same orders."""
    assert TILL.ordered(DAY, 100) == TILL.ordered(DAY, 100) != TILL.ordered("2026-01-02", 100)


def test_orders_tell_their_revenue() -> None:
    """A day's materialization carries the metadata that other code locations read, and passes its check."""
    result = dg.materialize(
        [orders], partition_key=DAY, resources={"till": TILL}, run_config={"ops": {"orders": FEW}}
    )
    metadata = result.asset_materializations_for_node("orders")[0].metadata
    revenue = metadata["revenue"].value
    assert isinstance(revenue, float)
    assert revenue > 0
    assert metadata["dagster/row_count"].value == 100
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]


def test_an_article_that_nobody_orders_is_found() -> None:
    """With one order the check of the articles fails, and the run succeeds."""
    one = {"ops": {"orders": {"config": {"rows": 1}}}}
    result = dg.materialize([orders], partition_key=DAY, resources={"till": TILL}, run_config=one)
    assert result.success
    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]


def test_exchange_rates_are_in_the_metadata() -> None:
    """The materialization carries the rate of each currency."""
    result = dg.materialize([exchange_rates], run_config={"ops": {"exchange_rates": FEW}})
    rates = result.asset_materializations_for_node("exchange_rates")[0].metadata["rates"].value
    assert isinstance(rates, dict)
    assert rates["EUR"] == 1.0
    assert rates["USD"] == pytest.approx(1.09, rel=0.02)


def test_the_job_fails_where_it_is_told_to() -> None:
    """The first attempt fails in its second step, so that a retry has something to do."""
    result = search_index.refresh_search_index.execute_in_process(
        run_config={"ops": {"collect": FEW, "publish": {"config": {"fail_first_attempt": True}}}},
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
