"""A job of one step."""

import dagster as dg

from code_location_b.work import Work


@dg.op
def balance(context: dg.OpExecutionContext, config: Work) -> None:
    """Balance the accounts."""
    config.wait()
    context.add_output_metadata({"difference": 0.0})


@dg.job
def close_books() -> None:
    """Close the books."""
    balance()
