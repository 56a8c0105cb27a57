"""The command line: each module adds its commands to the group in `group`."""

from whalescan.cli import check, clips, evaluate, import_review, report, review, run, simulate, train
from whalescan.cli.group import main

__all__ = ["check", "clips", "evaluate", "import_review", "main", "report", "review", "run", "simulate", "train"]
