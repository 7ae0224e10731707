"""What is told to whoever asked for something that can't be done."""


class RefusalError(Exception):
    """What was asked for is refused. The message is one line with the cause and the cure."""
