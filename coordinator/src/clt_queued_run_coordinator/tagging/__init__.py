"""A run on its way into the queue: the name of its code location, and the tag that says it."""
