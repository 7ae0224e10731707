"""Programs that measure a release of their own on a live cluster; they need what `make e2e` needs.

`PYTHONPATH=coordinator .venv/bin/python -m tests.e2e.benchmarks.rollout` starts one.
"""
