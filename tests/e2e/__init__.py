"""A deployment of the official Helm chart on a real Kubernetes; the tests run in the order of their files."""
