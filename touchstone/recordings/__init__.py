"""Recordings: HAR files. They are recorded, replayed, compared with a live target, and served to tests."""
