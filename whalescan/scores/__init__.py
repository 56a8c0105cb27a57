"""Stored scores and validations, and the detections made of them."""
