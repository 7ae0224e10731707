"""What the overlays of deploy/overlays bring to the rendered chart; nothing is installed."""
