"""Upgrades of Dagster and of this package, under load on a live cluster."""
