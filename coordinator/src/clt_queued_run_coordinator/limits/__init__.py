"""How many runs of each code location may be in progress: the options, and the limits in force."""
