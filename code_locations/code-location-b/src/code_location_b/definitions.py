"""What Dagster loads."""

import dagster as dg

from code_location_b.books import close_books
from code_location_b.invoices import invoices, invoices_job, new_orders
from code_location_b.price_list import price_list

defs = dg.Definitions(
    assets=[invoices, price_list],
    jobs=[close_books, invoices_job],
    sensors=[new_orders],
    # The steps of these runs are small: one process a run.
    executor=dg.in_process_executor,
)
