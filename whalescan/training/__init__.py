"""People teach the detector, and measure it."""
