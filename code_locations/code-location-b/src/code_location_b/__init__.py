"""A sample code location."""
