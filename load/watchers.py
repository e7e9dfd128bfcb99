"""
Watchers: many clients follow the logs of a few builds, each from before its output to its end.
"""

from touchstone.adapters.arrival_user import Arrival, ArrivalUser


class Watchers(ArrivalUser):
    """
    Hosts start the builds and poll them; watchers follow one of them each.
    """

    scenario = "watchers"

    def do_host(self, arrival: Arrival) -> None:
        """
        Starts one of the builds and polls it to its end.
        """
        ref = self.own(arrival)
        flow = self.flow(arrival, keep=self.run_.keeps(arrival.nth_build))
        started = flow.start(ref, fresh=True)
        if started.status == 202:
            flow.await_end(ref, started)

    def do_watch(self, arrival: Arrival) -> None:
        """
        Follows one of the builds to its end.
        """
        refs = self.run_.go.stage.refs("own")
        story = arrival.number % len(refs)
        self.flow(arrival, keep=self.run_.keeps(story)).follow(refs[story])
