"""Storm: many builds are started at the same moment, more than the target admits at once."""

from aftermath import Aftermath
from room import Room
from touchstone.loadgen.arrival_user import Arrival, ArrivalUser


class Storm(ArrivalUser):
    """Each client wants one build, backs off while it is refused, and polls its build to the end."""

    scenario = "storm"
    was_refused = False

    def do_start(self, arrival: Arrival) -> None:
        """Runs one client."""
        ref, flow, started = self.build(arrival)
        self.was_refused |= flow.tries > 1 or started.status == 429
        if started.status == 202:
            flow.await_end(ref, started)

    def after(self) -> None:
        """Lets one client find out what refused starts (`Room`), and whether the limit is honest (`Aftermath`)."""
        # This worker does not know about refusals of other workers.
        if self.was_refused or self.run_.go.workers > 1:
            Room(self.run_).probe()
        Aftermath(self.run_).probe()
