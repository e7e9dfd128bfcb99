"""Runs the contract tests against a target: sends requests, publishes templates, and removes them afterwards."""
