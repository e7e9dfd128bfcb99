"""Fairness: a modest key starts at a low rate, first alone and then beside a greedy key.

Both keys start ready versions of their own, so that only a rate limit can refuse these starts.
"""

from locust import User, constant_throughput, task

from touchstone.facts.exchange import Credential
from users import BuildUser, Shape


class Starter(BuildUser):
    """Starts a ready version; a refusal is not retried."""

    abstract = True
    scenario = "fairness"

    def start_once(self, role: str, credential: Credential) -> None:
        """Sends one start. In the second half of the run, the greedy key is there as well."""
        arrival, options = self.arrive(), self.run_.go.options
        is_alone = arrival.due_at - self.run_.began_at < options.duration_s / 2
        phase = "alone" if is_alone else "beside-greedy"
        flow = self.flow(arrival, keep=self.run_.keeps(0), credential=credential, phase=phase)
        flow.start(self.refs(role)[0], fresh=False, patient=False)


class Modest(Starter):
    """The modest key: one start a second."""

    wait_time = constant_throughput(1)

    @task
    def do_modest(self) -> None:
        """Sends one start of the modest key."""
        self.start_once("ready", "primary")


class Greedy(Starter):
    """The greedy key: twenty starts a second."""

    wait_time = constant_throughput(20)

    @task
    def do_greedy(self) -> None:
        """Sends one start of the greedy key."""
        self.start_once("ready-second", "second")


class AloneThenBeside(Shape):
    """The modest key alone for 12 seconds, then both keys for 12 seconds."""

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Called by Locust every second."""
        at_s = self.get_run_time()  # type: ignore[no-untyped-call]  # Locust's shapes are not typed
        if at_s < 12:
            return 1, 1, [Modest]
        return (2, 1, [Modest, Greedy]) if at_s < 24 else None
