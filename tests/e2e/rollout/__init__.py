"""A `helm upgrade` under load, second by second."""
