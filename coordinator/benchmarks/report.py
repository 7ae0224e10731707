"""The results as a table and as JSON."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from typing import Any

import dagster
from rich.table import Table

from benchmarks.measure import Row, quantity


def table(rows: Sequence[Row]) -> Table:
    """One line a row."""
    shown = Table("benchmark", "case", "against")
    for column in ("ours", "theirs", "ratio", "rounds"):
        shown.add_column(column, justify="right")
    shown.add_column("goal")
    shown.add_column("reached")
    for row in rows:
        shown.add_row(
            row.benchmark,
            row.case,
            row.against,
            quantity(row.typical(row.ours), row.unit),
            quantity(row.typical(row.other), row.unit) if row.other else "",
            "" if row.ratio is None else f"{row.ratio:.3f}",
            str(len(row.ours)),
            row.goal.text(row.unit) if row.goal else "",
            {True: "yes", False: "[red]no", None: ""}[row.reached],
        )
    return shown


def as_data(rows: Sequence[Row], postgresql: str) -> dict[str, Any]:
    """The same as plain data, with every single value and what it was measured with.

    Args:
        rows: The results.
        postgresql: The version of the server.
    """
    return {
        "date": date.today().isoformat(),
        "versions": {
            "dagster": dagster.__version__,
            "coordinator": version("dagster-clt-queued-run-coordinator"),
            "python": platform.python_version(),
            "postgresql": postgresql,
        },
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "rows": [
            {
                "benchmark": row.benchmark,
                "case": row.case,
                "against": row.against,
                "unit": row.unit,
                "compared_by": "mean" if row.by_mean else "median",
                "ours": row.typical(row.ours),
                "theirs": row.typical(row.other) if row.other else None,
                "ratio": row.ratio,
                "goal": row.goal.text(row.unit) if row.goal else None,
                "reached": row.reached,
                "values_of_ours": row.ours,
                "values_of_theirs": row.other,
            }
            for row in rows
        ],
    }
