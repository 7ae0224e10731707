"""The configured limits, and the limits in force: how many runs of each code location may be in progress."""
