"""The coordinator's part of a tick of Dagster's daemon: which queued runs it is shown, and what is remembered."""
