"""A job of one step."""

import random

import dagster as dg

from code_location_b.work import WorkAndWait


@dg.op
def balance(context: dg.OpExecutionContext, config: WorkAndWait) -> None:
    """Wait for the bank's statement, then add up both sides of every entry."""
    config.wait()
    dice = random.Random(config.rows)
    debit = credit = 0
    for _ in range(config.rows):
        cents = int(dice.random() * 100_000)
        debit, credit = debit + cents, credit + cents
    context.add_output_metadata({"entries": config.rows, "difference": (debit - credit) / 100})


@dg.job
def close_books() -> None:
    """Close the books."""
    balance()
