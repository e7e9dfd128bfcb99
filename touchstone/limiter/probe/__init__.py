"""Probe process: sends the stimuli of the identification, and records the responses."""
