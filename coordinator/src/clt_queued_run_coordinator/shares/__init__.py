"""Who gets a free slot: shares, groups and recent use, and the limits and turns within a code location."""
