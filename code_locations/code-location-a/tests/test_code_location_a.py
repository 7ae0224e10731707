"""The code location loads."""

import code_location_a


def test_it_can_be_imported() -> None:
    """The package can be imported."""
    assert code_location_a.__doc__
