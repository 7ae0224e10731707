"""Stays of a release: limits, failures, a move and back; the tests run in the order of their files."""
