"""What a submitted run has to pass before it is queued: `max_queued`."""
