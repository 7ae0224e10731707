"""The whole system as processes, and the judge of what it did: for the demo, the tests and the benchmarks."""
