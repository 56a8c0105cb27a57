"""Detections made of window scores, their validations and what follows from both. Pure arithmetic."""
