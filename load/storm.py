"""
Storm: many builds are started at the same moment, more than the target admits at once.
"""

from aftermath import Aftermath
from touchstone.adapters.arrival_user import Arrival, ArrivalUser


class Storm(ArrivalUser):
    """
    Each client wants one build, backs off as it is told while it is refused, and polls its build to the end.
    """

    scenario = "storm"

    def do_start(self, arrival: Arrival) -> None:
        """
        One client.
        """
        ref = self.own(arrival)
        flow = self.flow(arrival, keep=self.run_.keeps(arrival.nth_build))
        started = flow.start(ref, fresh=True)
        if started.status == 202:
            flow.await_end(ref, started)

    def after(self) -> None:
        """
        When the storm is over one client asks the limit what it promises: see `Aftermath`.
        """
        Aftermath(self.run_).ask()
