"""Surveys of many recordings: check, run, stored results, effort, tables, report and clips."""
