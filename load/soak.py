"""Soak: the mix of actions at a low rate, for hours. The end of the run is then compared with its beginning."""

from mixture import Mixture


class Soak(Mixture):
    """The mix of actions, for the duration of the schedule."""

    scenario = "soak"
