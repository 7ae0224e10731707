"""The run queue in the database: which runs are queued and in progress, and what holds them."""
