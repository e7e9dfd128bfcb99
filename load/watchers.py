"""Watchers: many clients follow the logs of a few builds, from before the first output to the end."""

from dataclasses import replace

from touchstone.loadgen.arrival_user import Arrival, ArrivalUser


class Watchers(ArrivalUser):
    """Host clients start and poll the builds; each watcher follows the log of one build."""

    scenario = "watchers"

    def do_host(self, arrival: Arrival) -> None:
        """Starts one of the builds and polls to the end."""
        accepted = False
        try:
            ref, flow, started = self.build(arrival)
            accepted = started.status == 202
        finally:
            self.run_.settle_start(arrival.nth_build, accepted=accepted)
        if accepted:
            flow.await_end(ref, started)

    def do_watch(self, arrival: Arrival) -> None:
        """Follows one of the builds to the end, as soon as the start was accepted."""
        run, refs = self.run_, self.run_.go.stage.refs("own")
        story = arrival.number % len(refs)
        accepted_at = run.accepted_at(story, run.target.patience_s + run.target.request_timeout_s)
        if accepted_at is None:
            run.collector.unwatched += 1
            return
        watching = replace(arrival, due_at=max(arrival.due_at, accepted_at))
        self.flow(watching, keep=run.keeps(story)).follow(refs[story])
