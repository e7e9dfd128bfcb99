"""Probe: one client that finds out which rate limiter is behind an API."""

from touchstone.limiter.probe.user import ProbeUser


class Probe(ProbeUser):
    """What it sends, `touchstone.limiter` decides."""
