"""A sample code location: the accounts, which read what the shop's code location wrote to the event log."""
