"""A job of two steps, its schedule, and what happens when it fails."""

import os
import random
from collections import Counter

import dagster as dg
from pydantic import Field

from code_location_a.till import PRICES
from code_location_a.work import WorkAndWait


class Publish(dg.Config):
    """The run configuration of the second step."""

    fail_first_attempt: bool = Field(default=False, description="Fail unless the run is a retry.")


@dg.op
def collect(context: dg.OpExecutionContext, config: WorkAndWait) -> None:
    """Count the words in what customers say about the articles."""
    config.wait()
    dice, words = random.Random(config.rows), [*PRICES, "small", "large", "strong", "cheap"]
    found = Counter(words[int(dice.random() * len(words))] for _ in range(config.rows))
    context.add_output_metadata({"words": config.rows, "most often": found.most_common(1)[0][0]})


@dg.op(ins={"collected": dg.In(dg.Nothing)})
def publish(context: dg.OpExecutionContext, config: Publish) -> None:
    """Publish the index; a retry and a re-execution start here, since `collect` succeeded."""
    if config.fail_first_attempt and context.run.parent_run_id is None:
        raise dg.Failure("The search engine did not answer, as the run's configuration asked.")
    context.log.info("published")


@dg.job(tags={"dagster/max_retries": "2"})
def refresh_search_index() -> None:
    """Refresh the shop's search index; Dagster retries a failed run up to twice."""
    publish(collected=collect())


refresh_search_index_schedule = dg.ScheduleDefinition(
    job=refresh_search_index,
    # Read when the code server starts; it says UTC since no timezone is given.
    cron_schedule=os.environ.get("REFRESH_SEARCH_INDEX_CRON", "0 * * * *"),
)
