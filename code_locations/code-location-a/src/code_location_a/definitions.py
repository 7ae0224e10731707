"""What Dagster loads."""

import dagster as dg

from code_location_a.exchange_rates import exchange_rates
from code_location_a.orders import orders, orders_job
from code_location_a.search_index import refresh_search_index, refresh_search_index_schedule

defs = dg.Definitions(
    assets=[exchange_rates, orders],
    jobs=[orders_job, refresh_search_index],
    schedules=[refresh_search_index_schedule],
    # The steps of these runs are small: one process a run.
    executor=dg.in_process_executor,
)
