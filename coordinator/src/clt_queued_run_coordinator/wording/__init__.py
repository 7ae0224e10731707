"""Numbers, moments and names as people read and write them."""
