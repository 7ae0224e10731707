"""What the code server loads."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Everything in the folder `defs`."""
    found = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    # The steps of these runs are small: one process a run.
    return dg.Definitions.merge(found, dg.Definitions(executor=dg.in_process_executor))
