"""Samples to scores; with `learn`, the only floor that knows torch."""
