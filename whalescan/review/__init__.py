"""Validation of detections by people: on the local page, and in Raven tables."""
