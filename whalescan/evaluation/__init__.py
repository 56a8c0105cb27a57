"""Evaluation: detections compared with annotations, and scores compared with labelled clips."""
