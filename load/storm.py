"""Storm: many builds are started at the same moment, more than the target admits at once."""

from aftermath import Aftermath
from room import Room
from touchstone.loadgen.arrival_user import Arrival, ArrivalUser


class Storm(ArrivalUser):
    """Each client starts one build, backs off after refusals, and polls the status until the build ends."""

    scenario = "storm"
    was_refused = False

    def do_start(self, arrival: Arrival) -> None:
        """Runs the client of *arrival*."""
        ref, flow, started = self.build(arrival)
        self.was_refused |= flow.tries > 1 or started.status == 429
        if started.status == 202:
            flow.await_end(ref, started)

    def after(self) -> None:
        """Runs the closing clients: `Room` tests why starts were refused, `Aftermath` whether Retry-After is right."""
        # Other workers may have had refusals that this worker does not know of.
        if self.was_refused or self.run_.go.workers > 1:
            Room(self.run_).probe()
        Aftermath(self.run_).probe()
