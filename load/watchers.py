"""Watchers: many clients follow the logs of a few builds, from before the first output to the end."""

from collections.abc import Sequence
from dataclasses import replace

import gevent
from locust import task
from locust.exception import StopUser

from users import BuildUser, Steps


class Watchers(BuildUser):
    """Clients that start and poll the builds (hosts), and clients that each follow the log of one build (watchers)."""

    scenario = "watchers"

    def do_host(self) -> None:
        """Starts one of the builds and polls its status until it ends."""
        nth, accepted = self.arrive(builds=True).nth_build, False
        try:
            ref, flow, started = self.build()
            accepted = started.status == 202
        finally:
            self.run_.settle_start(nth, accepted=accepted)
        if accepted:
            flow.await_end(ref, started)

    def do_watch(self) -> None:
        """Follows the log of one of the builds to its end, once the start of the build was accepted."""
        run, refs, arrival = self.run_, self.refs("own"), self.arrive()
        story = arrival.number % len(refs)
        accepted_at = run.accepted_at(story, run.target.patience_s + run.target.request_timeout_s)
        if accepted_at is None:
            run.collector.unwatched += 1
            return
        watching = replace(arrival, due_at=max(arrival.due_at, accepted_at))
        self.flow(watching, keep=run.keeps(story)).follow(refs[story])

    @task
    def host_and_watchers(self) -> None:
        """Without a schedule: one build with all its watchers, then the user leaves."""
        arrival, run = self.arrive(builds=True), self.run_
        clients = [type(self)(self.environment, run, arrival) for _ in range(run.go.options.watchers)]
        watching = [run.spawn(client.do_watch) for client in clients]
        type(self)(self.environment, run, arrival).do_host()
        gevent.joinall(watching)
        raise StopUser


class AllAtOnce(Steps):
    """All builds at once, each with its watchers."""

    def steps(self, builds: int) -> Sequence[tuple[int, type[BuildUser]]]:
        """One host for each build; it brings its watchers."""
        return ((builds, Watchers),)
