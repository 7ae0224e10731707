"""The key of the tag that names a run's code location."""

CLT_TAG_KEY = "code_location"
"""The key of the tag on every queued run. The value is the name of the run's code location."""
