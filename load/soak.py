"""Soak: the mix of steady, gently and for hours; afterwards the last part of the run is compared with the first."""

from mixture import Mixture


class Soak(Mixture):
    """The mix, for as long as the schedule lasts."""

    scenario = "soak"
