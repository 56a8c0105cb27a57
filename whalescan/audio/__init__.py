"""Audio files: find and read recordings, their start times, timestamps and quality."""
