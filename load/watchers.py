"""Watchers: many clients follow the logs of a few builds, from before the first output to the end."""

from dataclasses import replace

from touchstone.loadgen.arrival_user import Arrival, ArrivalUser


class Watchers(ArrivalUser):
    """Clients that start and poll the builds (hosts), and clients that each follow the log of one build (watchers)."""

    scenario = "watchers"

    def do_host(self, arrival: Arrival) -> None:
        """Starts one of the builds and polls its status until it ends."""
        accepted = False
        try:
            ref, flow, started = self.build(arrival)
            accepted = started.status == 202
        finally:
            self.run_.settle_start(arrival.nth_build, accepted=accepted)
        if accepted:
            flow.await_end(ref, started)

    def do_watch(self, arrival: Arrival) -> None:
        """Follows the log of one of the builds to its end, once the start of the build was accepted."""
        run, refs = self.run_, self.run_.go.stage.refs("own")
        story = arrival.number % len(refs)
        accepted_at = run.accepted_at(story, run.target.patience_s + run.target.request_timeout_s)
        if accepted_at is None:
            run.collector.unwatched += 1
            return
        watching = replace(arrival, due_at=max(arrival.due_at, accepted_at))
        self.flow(watching, keep=run.keeps(story)).follow(refs[story])
