"""What Dagster loads: every definition in this folder and its subfolders."""
