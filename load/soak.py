"""Soak: the mix of actions at a low rate, for hours. The end of the run is then compared with its beginning."""

from locust import between

from mixture import Mixture
from users import weighted


class Soak(Mixture):
    """The mix with fewer builds and longer pauses."""

    scenario = "soak"
    wait_time = between(2, 6)
    tasks = weighted(Mixture, scenario)
