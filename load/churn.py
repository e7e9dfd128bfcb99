"""Churn: many clients start and cancel a few versions at once, so that starts and cancels race."""

from locust import task

from users import BuildUser


class Churn(BuildUser):
    """Each client starts one of the shared versions, later cancels the build, and reads the status."""

    scenario = "churn"

    @task
    def do_race(self) -> None:
        """Starts, cancels and reads one of the versions."""
        arrival, refs = self.arrive(), self.refs("shared")
        story = arrival.number % len(refs)
        flow = self.flow(arrival, keep=self.run_.keeps(story))
        flow.start(refs[story], fresh=None)
        if self.run_.rest(self.run_.random.uniform(0.0, self.run_.go.options.build_s)):
            flow.send("cancelBuild", refs[story])
        flow.send("getBuild", refs[story])
