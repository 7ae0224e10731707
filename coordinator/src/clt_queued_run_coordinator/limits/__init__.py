"""How many runs of each code location may be in progress: configuration, live changes, shares."""
