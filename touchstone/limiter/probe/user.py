"""The one Locust user of a probe: it does all of it, once, and ends the process."""

import os
import signal
import sys
from typing import Any

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser

from touchstone.check.handover import UNWRITTEN, hold_lifeline
from touchstone.errors import HarnessError
from touchstone.limiter.probe.handover import received_probe
from touchstone.limiter.probe.loop import ProbeRun

# What the process ends with where nobody could ask anything; and where somebody stopped it.
FAULTY, INTERRUPTED = 2, 130


class ProbeUser(User):
    """Whoever asks."""

    abstract = True

    @task
    def probe(self) -> None:
        """
        The probe from its first request to its last; Locust must not end it half-way, and does not begin it again.
        """
        gevent.spawn(_probe, self.environment).join()
        raise StopUser


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's events are not typed
def prepare(**_: Any) -> None:
    """Has the process end with whoever started it."""
    hold_lifeline(os.environ, under_gevent=True)


def _probe(environment: Environment) -> None:
    environment.process_exit_code = FAULTY
    try:
        run = ProbeRun(received_probe(os.environ))
        # An event of the loop cannot get lost, as a KeyboardInterrupt can that meets some greenlet of Locust.
        gevent.signal_handler(signal.SIGINT, run.interrupt)
        run.run()
        ended = INTERRUPTED if run.interrupted else 0
        environment.process_exit_code = UNWRITTEN if run.is_lost else ended
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
    finally:
        assert environment.runner is not None
        gevent.spawn(environment.runner.quit)
