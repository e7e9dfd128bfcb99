"""Soak: the mix of steady at a low rate, for hours; afterwards the last part of the run is compared with the first."""

from mixture import Mixture


class Soak(Mixture):
    """The mix, for the duration of the schedule."""

    scenario = "soak"
