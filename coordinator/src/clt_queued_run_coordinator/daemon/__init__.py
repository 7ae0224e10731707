"""A tick of Dagster's daemon: which queued runs it is shown, and what is remembered from one tick to the next."""
