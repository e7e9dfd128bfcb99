"""Whole identifications in virtual time, with all requests and answers; each is computed once."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache

from tests.limiter.virtual import Net
from touchstone.facts.identity import Identity
from touchstone.facts.probe import Answer, Stimulus, Terms
from touchstone.limiter import belief
from touchstone.limiter.identify import Probe
from touchstone.limiter.kinds import Kind
from touchstone.limiter.rate_inference import Rates

PLENTY = Terms(seed=1, starts=True, most_requests=2000, most_builds=600, most_s=600.0)
READS = Terms(seed=1, starts=False, most_requests=2000, most_builds=0, most_s=600.0)
NO_CAPS = Terms(seed=1, starts=True, most_requests=2000, most_builds=600, most_s=600.0, caps=False)


@dataclass
class Turn:
    """One stimulus: when the probe was asked for it, what was left of the budget, and the answers."""

    begun_at: float
    requests_left: int
    builds_left: int
    stimulus: Stimulus
    answers: list[Answer]


@dataclass
class Played:
    """A probe that is over."""

    probe: Probe
    ended_at: float
    turns: list[Turn] = field(default_factory=list)

    @property
    def known(self) -> Identity:
        """What it found."""
        return self.probe.known()

    @property
    def answers(self) -> list[Answer]:
        """All that was answered."""
        return [answer for turn in self.turns for answer in turn.answers]


Sends = Callable[[int, Net, Stimulus], list[Answer]]


def _whole(_number: int, net: Net, stimulus: Stimulus) -> list[Answer]:
    return net.send(stimulus)


def through(net: Net, terms: Terms, send: Sends = _whole) -> Played:
    """Has a probe ask until it asks no more; *send*: what becomes of the stimulus with this number."""
    probe = Probe(terms)
    turns: list[Turn] = []
    while (stimulus := probe.propose(net.now_at)) is not None:
        answers = probe.story.answers
        accepted = sum(answer.accepted for answer in answers)
        turn = Turn(net.now_at, terms.most_requests - len(answers), terms.most_builds - accepted, stimulus, [])
        turn.answers = send(len(turns), net, stimulus)
        turns.append(turn)
        probe.observe(stimulus, turn.answers)
        net.now_at += net.think_s
    return Played(probe, net.now_at, turns)


def played(text: str, terms: Terms = PLENTY) -> Played:
    """The identification of a limiter of the twin by a probe that knows the kinds which it knows now."""
    return _played(text, terms, vars(belief)["KINDS"])


@cache
def _played(text: str, terms: Terms, _kinds: tuple[Kind, ...]) -> Played:
    return through(Net(text), terms)


def rates_of(text: str) -> Rates:
    """What is known of a rate after a whole identification; one of the caller's own."""
    rates = played(text, NO_CAPS).probe._rates
    assert rates is not None
    return deepcopy(rates)
