"""Text for people: how numbers and times are written, and which name a typing mistake was meant to be."""
