"""A standby of the daemon, with the overlay of that name."""
