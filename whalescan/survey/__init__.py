"""Many recordings, many machines, any accident."""
