"""Mix of all actions, for the scenarios steady and soak."""

from touchstone.loadgen.arrival_user import Arrival, ArrivalUser
from touchstone.loadgen.plan import POLL_S


class Mixture(ArrivalUser):
    """Reads, starts, cancels and followed builds; each action has its own client."""

    abstract = True

    def do_read(self, arrival: Arrival) -> None:
        """Reads the status of a ready version."""
        refs = self.run_.go.stage.refs("ready")
        self.flow(arrival, keep=self.run_.keeps_read()).send("getBuild", refs[arrival.number % len(refs)])

    def do_start(self, arrival: Arrival) -> None:
        """Starts a build and polls it to its end."""
        ref, flow, started = self.build(arrival)
        if started.status == 202:
            flow.await_end(ref, started)

    def do_cancel(self, arrival: Arrival) -> None:
        """Starts a build, cancels the running build, and polls to its end."""
        ref, flow, started = self.build(arrival)
        if started.status != 202:
            return
        if flow.until_building(ref):
            self.run_.rest(POLL_S)
            flow.send("cancelBuild", ref)
        flow.await_end(ref, started, cancelled=True)

    def do_stream(self, arrival: Arrival) -> None:
        """Starts a build, follows the log, and polls the build at the same time."""
        ref, flow, started = self.build(arrival)
        if started.status != 202:
            return
        following = self.run_.spawn(flow.follow, ref)
        flow.await_end(ref, started)
        following.join()
