"""The door: parse, call one function, print, exit. Each module adds its commands to the group."""

from whalescan.cli import checking, evaluating, reviewing, scanning, simulating, teaching
from whalescan.cli.door import main

__all__ = ["checking", "evaluating", "main", "reviewing", "scanning", "simulating", "teaching"]
