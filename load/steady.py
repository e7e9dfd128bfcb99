"""Steady: a mix of reads, starts, cancels and followed builds at a given rate."""

from mixture import Mixture
from users import weighted


class Steady(Mixture):
    """Mostly reads; now and then a build that is started, cancelled or followed."""

    scenario = "steady"
    tasks = weighted(Mixture, scenario)
