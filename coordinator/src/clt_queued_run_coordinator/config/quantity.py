"""Amounts of resources as Kubernetes writes them, such as `500m`, `1.5Gi` or `1e3`. Pure.

The grammar is that of Kubernetes' resource.Quantity (k8s.io/apimachinery/pkg/api/resource/quantity.go): a decimal
number, and behind it a binary suffix, a decimal suffix or an exponent.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated

import dagster

from clt_queued_run_coordinator.config.kinds import Kind, wrong

QUANTITY = "a quantity as Kubernetes writes it, such as 2, 500m, 1.5Gi or 1e3"
"""What a quantity must be, for messages."""

_FORM = re.compile(r"\+?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})([KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]{1,2})")
_BINARY = {f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Fraction(10) ** (3 * power) for power, letter in enumerate(["n", "u", "m", "", *"kMGTPE"], -3)}


def amount(value: object) -> Fraction:
    """The amount that a quantity stands for, 0 or more: a text, or a number as YAML and JSON have it.

    Raises:
        ValueError: It isn't a quantity.
    """
    match = _FORM.fullmatch(
        repr(value) if type(value) in (int, float) else value if isinstance(value, str) else ""
    )
    if not match:
        raise ValueError(f"it must be {QUANTITY}")
    number, suffix = Fraction(match[1].rstrip(".")), match[2]
    power = _BINARY.get(suffix) or _DECIMAL.get(suffix) or Fraction(10) ** int(suffix[1:])
    return number * power


def _quantity(expected: str, accepts: Callable[[Fraction], bool] = lambda _: True) -> Kind:
    def parse(key: str, value: object) -> Fraction:
        try:
            found = amount(value)
        except ValueError:
            raise wrong(key, value, expected) from None
        if not accepts(found):
            raise wrong(key, value, expected)
        return found

    return Kind(dagster.Any, parse)


Quantity = Annotated[Fraction, _quantity(QUANTITY)]
"""An amount of a resource."""
PositiveQuantity = Annotated[Fraction, _quantity(f"{QUANTITY}, above 0", lambda found: found > 0)]
"""The same, but not 0."""
