"""Jobs of one step and of several that run at the same time, each in a process of its own, and log as they go."""

import time

import dagster as dg

STEPS = 4


def _step(number: int) -> dg.OpDefinition:
    @dg.op(name=f"step_{number}")
    def step(context: dg.OpExecutionContext) -> None:
        for line in range(10):
            context.log.info("line %d", line)
            time.sleep(0.1)

    return step


@dg.job
def one_step() -> None:
    """One step."""
    _step(1)()


@dg.job(executor_def=dg.multiprocess_executor.configured({"max_concurrent": STEPS}))
def parallel_steps() -> None:
    """Four steps at once."""
    for number in range(STEPS):
        _step(number)()
