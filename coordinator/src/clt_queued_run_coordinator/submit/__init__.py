"""What a submitted run passes before it is queued: `max_queued`."""
