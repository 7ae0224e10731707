"""A backup of a deployment's database, restored in another place."""
