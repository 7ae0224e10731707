"""Runs the whole system as processes and checks what it did; the demo, the tests and the benchmarks share it."""
