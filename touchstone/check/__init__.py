"""Runs the contract tests against a target: examination, published templates, journal and sweep."""
