"""A sample code location: the shop, whose orders and exchange rates other teams read."""
