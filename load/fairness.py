"""Fairness: a modest key starts at a low rate, first alone and then beside a greedy key."""

from touchstone.loadgen.arrival_user import Arrival, ArrivalUser


class Fairness(ArrivalUser):
    """Both keys start ready versions of their own, so that only a rate limit can refuse these starts."""

    scenario = "fairness"

    def do_modest(self, arrival: Arrival) -> None:
        """Sends one start of the modest key; a refusal is not retried."""
        ref = self.run_.go.stage.refs("ready")[0]
        self.flow(arrival, keep=self.run_.keeps(0)).start(ref, fresh=False, patient=False)

    def do_greedy(self, arrival: Arrival) -> None:
        """Sends one start of the greedy key; a refusal is not retried."""
        ref = self.run_.go.stage.refs("ready-second")[0]
        self.flow(arrival, keep=self.run_.keeps(0), credential="second").start(ref, fresh=False, patient=False)
