"""The door: parse, call one function, print, exit. Each module adds its commands to the group."""

from whalescan.cli import checking, cutting, evaluating, looking, reporting, reviewing, scanning, simulating, teaching
from whalescan.cli.door import main

__all__ = [
    "checking",
    "cutting",
    "evaluating",
    "looking",
    "main",
    "reporting",
    "reviewing",
    "scanning",
    "simulating",
    "teaching",
]
