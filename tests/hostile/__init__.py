"""Servers that are broken in every way, and what the commands say to each."""
