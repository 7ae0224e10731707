"""compose.yaml in real containers, with podman or docker."""
