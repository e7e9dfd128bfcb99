"""Storm: many builds are started at the same moment, more than the target admits at once."""

from collections.abc import Sequence

from locust import task
from locust.exception import StopUser

from aftermath import Aftermath
from room import Room
from users import BuildUser, Steps


class Storm(BuildUser):
    """Each client starts one build, backs off after refusals, and polls the status until the build ends."""

    scenario = "storm"

    @task
    def do_start(self) -> None:
        """Builds one version, then leaves."""
        ref, flow, started = self.build()
        if started.status == 202:
            flow.await_end(ref, started)
        raise StopUser


class Closing(BuildUser):
    """After the storm, one client tests why starts were refused (`Room`), and the rest of a limit (`Aftermath`)."""

    scenario = "storm"

    @task
    def do_after(self) -> None:
        """Tests both, then leaves."""
        # Other workers may have had refusals that this worker does not know of.
        if self.run_.was_refused or self.run_.go.workers > 1:
            Room(self.run_).probe()
        Aftermath(self.run_).probe()
        raise StopUser


class AllAtOnce(Steps):
    """All clients of the storm at once, then the closing client."""

    def steps(self, builds: int) -> Sequence[tuple[int, type[BuildUser]]]:
        """One client for each build."""
        return (builds, Storm), (1, Closing)
