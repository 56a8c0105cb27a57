"""The command line: each module adds its commands to the group in `group`."""

from whalescan.cli import clips, evaluate, review, run, train
from whalescan.cli.group import main

__all__ = ["clips", "evaluate", "main", "review", "run", "train"]
