"""The tag that names a run's code location, written when the run is submitted."""
