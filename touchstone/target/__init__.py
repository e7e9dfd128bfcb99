"""HTTP access to a target: the client, limits of responses, and redaction of keys."""
