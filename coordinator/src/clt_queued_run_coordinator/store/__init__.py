"""The run database: transactions, documents, live changes, tags, and the code location that a run comes from."""
