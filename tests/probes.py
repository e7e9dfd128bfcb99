"""Probes for tests: planners with fixed stimuli, and `touchstone probe` with such a planner.

As a program it is `touchstone` with one of these planners; with the name of a planner it is the child process.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended, Shell
from touchstone.check.handover import UNWRITTEN
from touchstone.cli import app
from touchstone.facts.identity import Cost, Identity, Interval, Runner, Step, Tier, Why
from touchstone.facts.probe import Answer, Segment, Stimulus, Terms, drain, stream, volley
from touchstone.limiter.probe import runner
from touchstone.limiter.probe.loop import ProbeHandover, ProbeRun, main

ROOT = Path(__file__).resolve().parent.parent
BRAIN = "StandIn"
ENDLESS = "Endless"
STREAMS = "Streams"
FREE = "Free"


class StandIn:
    """Sends a canary, a burst, two volleys, builds in flight, and starts after two builds were freed."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.steps: list[Step] = []
        self.answers: list[Answer] = []
        self.why: Why = ""
        self.resumed = False

    def stimuli(self, at: float) -> tuple[Stimulus, ...]:
        """All stimuli from *at* on."""
        rest = at + 0.05
        return (
            Stimulus("a canary", (Segment((at,)),)),
            Stimulus("a burst", (drain(at + 0.1, 8),), bits=1.0),
            Stimulus("two volleys", (volley(rest, 3), volley(rest + 0.1, 3)), bits=0.5),
            Stimulus("builds in flight", (Segment((rest, rest + 0.02), holds=True),)),
            Stimulus("after two were freed", (Segment((at + 0.1, at + 0.15, at + 0.2), "accepted"),), frees=2),
        )

    def propose(self, now_at: float) -> Stimulus | None:
        """The next stimulus."""
        stimuli = self.stimuli(now_at)
        if self.why:
            return None
        if len(self.steps) == len(stimuli):
            self.why = "settled"
            return None
        return stimuli[len(self.steps)]

    def observe(self, stimulus: Stimulus, answers: Sequence[Answer]) -> None:
        """Records the responses."""
        self.answers += answers
        at = max((answer.done_at for answer in answers), default=0.0)
        self.steps.append(Step(stimulus.name, at, stimulus.bits, {"fixed": 0.75, "gcra": 0.25}))

    def resume(self) -> None:
        """Records that the probe was resumed."""
        self.resumed = True

    def stop(self, why: Why) -> None:
        """Stops."""
        self.why = why

    def known(self) -> Identity:
        """A fixed identity."""
        refused = sum(not answer.accepted for answer in self.answers)
        accepted = len(self.answers) - refused
        lasted_s = self.answers[-1].done_at - self.answers[0].sent_at if self.answers else 0.0
        return Identity(
            tiers=(
                Tier("fixed-window", "fixed-window:4/1", {"limit": Interval(4, 4, 4), "window_s": Interval(1, 1, 1)}),
            ),
            families=(
                Runner("fixed", 0.75, "fixed-window:4/1"),
                Runner("gcra", 0.25, "token-bucket:4/1", "it refused too late"),
            ),
            cost=Cost(len(self.answers), refused, accepted, lasted_s),
            sure=self.why == "settled",
            why=self.why,
        )


class Endless(StandIn):
    """Sends bursts without end."""

    def propose(self, now_at: float) -> Stimulus | None:
        """Another burst."""
        return None if self.why else Stimulus("a burst", (drain(now_at + 0.02, 4),), anew=self.resumed)


class Streams(StandIn):
    """Sends a canary, a stream, and a burst that ends once responses are delayed."""

    def stimuli(self, at: float) -> tuple[Stimulus, ...]:
        """All stimuli from *at* on."""
        until_held = replace(drain(at + 0.1, 40), quick_s=0.001)
        return (
            Stimulus("a canary", (Segment((at,)),)),
            Stimulus("a stream", (stream(at + 0.1, 50, 0.04),)),
            Stimulus("a burst", (until_held,)),
        )


class Free(StandIn):
    """Sends five requests in a row, and finds no limit."""

    def stimuli(self, at: float) -> tuple[Stimulus, ...]:
        """One burst."""
        return (Stimulus("a burst", (drain(at, 5),)),)

    def known(self) -> Identity:
        """An identity without a limit."""
        sure = self.why == "settled"
        number = len(self.answers)
        return Identity((), (), Cost(number, 0, 0, 0.1), unlimited_to=number, sure=sure, why=self.why)


def shell(folder: Path, brain: str = BRAIN) -> Shell:
    """A shell whose `touchstone probe` uses a planner of this module."""
    return ProbeShell(folder, brain=brain)


class ProbeShell(Shell):
    """A shell that runs this module as its program."""

    def __init__(self, folder: Path, brain: str) -> None:
        super().__init__(folder)
        self.program = (sys.executable, "-m", "tests.probes")
        self._brain = brain

    def environment(self) -> dict[str, str]:
        """Variables with the path of this module and the name of the planner."""
        return super().environment() | {"PYTHONPATH": str(ROOT), "STAND_IN": self._brain}


def child(brain: str) -> list[str]:
    """Command line of a child process with the planner *brain*."""
    return [sys.executable, "-m", "tests.probes", brain]


def in_process(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Ended]) -> Callable[..., Ended]:
    """Runs the command and its child in this process, for probes without interrupts."""

    def probe(shell: Shell, *arguments: str) -> Ended:
        brain = globals()[shell.environment()["STAND_IN"]]

        def run_child(_job: Any, _command: Sequence[str], handover: ProbeHandover, *_more: Any) -> int:
            run = ProbeRun(handover, brain)
            run.run()
            return UNWRITTEN if run.is_lost else 0

        monkeypatch.setattr(runner._Probe, "run_child", run_child)
        return call(shell, *arguments)

    return probe


def until(command: "subprocess.Popen[str]", text: str) -> None:
    """Waits for a line on stderr that begins with *text*."""
    assert command.stderr is not None
    for line in command.stderr:
        if line.startswith(text):
            return
    raise AssertionError(f"it ended before {text!r}")


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in globals():
        raise SystemExit(main(globals()[sys.argv[1]]))  # each of them answers as the real one does
    runner.probe_command = lambda: child(os.environ["STAND_IN"])
    sys.argv[0] = "touchstone"
    app.main()
