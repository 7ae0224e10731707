"""The system of the local trial without a browser: `make demo`."""
