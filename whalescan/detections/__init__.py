"""Scores to calls; pure arithmetic."""
