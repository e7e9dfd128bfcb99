"""Recordings: HAR files, how they are made, replayed, compared with a live target and served to tests."""
