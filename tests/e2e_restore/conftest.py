"""The cluster of the restore's tests, which install their releases themselves."""

from tests.e2e.conftest import cluster

__all__ = ["cluster"]
