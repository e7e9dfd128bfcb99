"""Steady: a mix of reads, starts, cancels and followed builds at a given rate."""

from mixture import Mixture


class Steady(Mixture):
    """The mix of actions, for the duration of the schedule."""

    scenario = "steady"
