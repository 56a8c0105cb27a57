"""Files to samples with a place in time."""
