"""What is measured on a live cluster, each a program: `PYTHONPATH=coordinator .venv/bin/python -m tests.e2e.benchmarks.rollout`.

They need what `make e2e` needs, and install a release of their own.
"""
