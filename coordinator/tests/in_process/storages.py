"""For tests whose subject does not depend on the storage, and that would take long on each."""

import pytest

on_one_storage = pytest.mark.parametrize("run_queue", ["ephemeral"], indirect=True)
"""The fastest one."""
