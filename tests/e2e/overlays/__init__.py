"""The overlays of deploy/overlays on a live cluster."""
