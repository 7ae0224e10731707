"""How many inputs were tried at each door; pytest prints it at the end."""

from collections import Counter

TRIED: Counter[str] = Counter()
