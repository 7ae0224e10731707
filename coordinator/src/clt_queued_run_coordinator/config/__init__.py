"""The coordinator's options: their model, what is refused, and what the instance replaces of them. Pure."""
