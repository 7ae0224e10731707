"""The queue as it is now: what commands, metrics and the UI answer from."""
