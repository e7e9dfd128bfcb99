"""Storm: many builds are started at the same moment, more than the target admits at once."""

from aftermath import Aftermath
from room import Room
from touchstone.loadgen.arrival_user import Arrival, ArrivalUser


class Storm(ArrivalUser):
    """Each client wants one build, backs off after refusals, and polls its build to the end."""

    scenario = "storm"
    was_refused = False

    def do_start(self, arrival: Arrival) -> None:
        """Runs one client."""
        ref, flow, started = self.build(arrival)
        self.was_refused |= flow.tries > 1 or started.status == 429
        if started.status == 202:
            flow.await_end(ref, started)

    def after(self) -> None:
        """Runs the closing client: `Room` tests what refused starts, `Aftermath` whether Retry-After is honest."""
        # Other workers may have had refusals that this worker does not know of.
        if self.was_refused or self.run_.go.workers > 1:
            Room(self.run_).probe()
        Aftermath(self.run_).probe()
