"""The door: parse, call one function, print, exit. Each module adds its commands to the group."""

from whalescan.cli import evaluating, scanning, simulating, teaching
from whalescan.cli.door import main

__all__ = ["evaluating", "main", "scanning", "simulating", "teaching"]
