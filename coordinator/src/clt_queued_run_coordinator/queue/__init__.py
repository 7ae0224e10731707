"""The queue as the database has it: what is queued, and what is in progress."""
