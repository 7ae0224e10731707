"""The kinds of values that options take. Pure."""


class ConfigurationError(Exception):
    """The configuration can't be applied. The message names the key, the value and the cure."""
