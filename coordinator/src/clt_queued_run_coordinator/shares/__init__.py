"""Whose turn a free slot is: shares, groups, recent use, and the turns within a code location."""
