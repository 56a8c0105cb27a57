"""The local review page: detections are reviewed by eye and ear, and validations are stored at once."""
