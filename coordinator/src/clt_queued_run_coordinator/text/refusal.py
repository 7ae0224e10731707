"""The error for a request that can't be carried out; its message is for the user."""


class RefusalError(Exception):
    """What was asked for is refused. The message is one line with the cause and the cure."""
