"""Reaching a target: the HTTP client, its bounds, and the redaction of keys."""
