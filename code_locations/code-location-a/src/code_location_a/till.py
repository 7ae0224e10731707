"""The shop's till. This one makes its orders up; a real one would read a database."""

import random
from collections import Counter

import dagster as dg

PRICES = {"bolt": 0.4, "hinge": 3.5, "lock": 18.0}
"""What the shop sells, and for how many euros."""


class Till(dg.ConfigurableResource):
    """What customers order. The answer is the same each time a day is asked for.

    Attributes:
        shop: Whose till it is. Another shop has other orders.
    """

    shop: str

    def ordered(self, day: str, orders: int) -> Counter[str]:
        """How many of each article were ordered on a day.

        Args:
            day: The day, such as `2026-01-31`.
            orders: How many orders there were.
        """
        dice = random.Random(f"{self.shop} {day}")
        articles = list(PRICES)
        counts: Counter[str] = Counter()
        for _ in range(orders):
            counts[articles[int(dice.random() * len(articles))]] += 1 + int(dice.random() * 3)
        return counts
