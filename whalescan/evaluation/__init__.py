"""How good a detector is: detections against annotations, and scores against labelled clips."""
