"""Who may start next: limits, shares, turns, admission and circuit breakers. Pure: no storage, no daemon."""
