"""
Refusals for a limit: what they look like, what they leave alone, and how they end. Note facts: rules/rounds.py.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from situations import ask
from touchstone.examination import Examination
from touchstone.exchange import Credential, Exchange
from touchstone.patience import back_off_s, retry_after_s
from touchstone.run import Run
from touchstone.terms import Unsuited
from touchstone.transport import Call

# A limit that lets more starts than this through in one burst is not looked for: it would not bother a client.
LONGEST_BURST = 120
READS_PER_START = 3

# What a build takes longer than the rest before the reads, so that it runs while they are sent.
RUNNING_S = 4.0

# Waited beyond Retry-After, so that a server that comes back on the second is not asked a moment too early.
MARGIN_S = 0.05

# A case that is tried again has rounds of its own.
ROUNDS = itertools.count(1)


@dataclass
class Round:
    """
    One burst of starts until one is refused, and the way back.
    """

    exam: Examination
    ref: str
    number: int = field(default_factory=lambda: next(ROUNDS))
    served: int = 0
    refused: Exchange | None = None
    last_refused: Exchange | None = None
    retries: int = 0
    waited_s: float = 0.0
    lasted_s: float = 0.0
    began_at: float = 0.0
    # Whether the status is read while waiting, as clients do; not where reads themselves are compared.
    polls: bool = False

    def send(
        self, operation: str, phase: str, credential: Credential = "primary", ref: str = "", *, gave_up: bool = False
    ) -> Exchange:
        """
        Sends one request of the round.
        """
        note = {"limit": {"round": self.number, "phase": phase} | ({"gave_up": True} if gave_up else {})}
        answer = self.exam.send(Call(operation, ref or self.ref, credential, note=note))
        if answer.status == 429 and credential == "primary":
            self.last_refused = answer
        return answer

    def burst(self, at_least_s: float = 0.0) -> None:
        """
        Starts the ready version until a start is refused, and no shorter than *at_least_s*.
        """
        self.began_at = self.exam.transport.now()
        while self.served < LONGEST_BURST:
            answer = self.send("startBuild", "burst")
            self.lasted_s = self.exam.transport.now() - self.began_at
            # A limit that is told otherwise than by 429 is one all the same, and only this shows it.
            if answer.status >= 400:
                self.refused = self.refused or answer
            elif self.refused is None:
                self.served += 1
            if self.refused and self.lasted_s >= at_least_s:
                return

    def reads(self, number: int, running: str) -> None:
        """
        Reads so many times, in turns what clients poll: this version, the one that is *running*, and the document.
        """
        asked = itertools.cycle([("getBuild", self.ref), ("getBuild", running), ("getTemplate", self.ref)])
        for operation, ref in itertools.islice(asked, number):
            self.send(operation, "reads", ref=ref)

    def recover(self) -> None:
        """
        Waits as the server says, or doubling, until a start is served.
        """
        answer = self.last_refused
        patience_s = self.exam.target.patience_s
        for wait_s in back_off_s():
            asked_s = retry_after_s(answer.response) if answer else None
            pause_s = (wait_s if asked_s is None else asked_s) + MARGIN_S
            # It counts from the refusal: what was sent since then is part of the wait.
            if self.polls:
                self.exam.read(self.ref)
            gone_s = self.exam.transport.now() - answer.done_at if answer else 0.0
            self.exam.rest(max(0.0, pause_s - gone_s))
            self.waited_s += pause_s
            last = self.waited_s >= patience_s
            answer = self.send("startBuild", "retry", gave_up=last)
            self.retries += 1
            if answer.status < 400 or last:
                return


@pytest.mark.cost(builds=4, requests=160)
@pytest.mark.claims(
    "limit.has-the-error-shape",
    "limit.ends-after-back-off",
    "limit.retry-after-is-valid",
    "limit.retry-after-is-honest",
    "limit.is-per-key",
    "limit.refused-start-starts-nothing",
)
def test_rate_of_starts(exam: Examination, run: Run) -> None:
    """
    A burst of starts is refused at some point; a refused start starts nothing, another key is served, waiting ends it.
    """
    ready, unbuilt, running = exam.ready(), exam.published("refused"), exam.short("running")
    theirs = exam.ready("second") if exam.target.second_api_key else None
    exam.read(unbuilt.ref)
    exam.start(running.ref)
    exam.read(running.ref)
    first = refused_round(exam, ready.ref, polls=True)
    if first.refused and first.refused.response and first.refused.response.header("Retry-After") is None:
        claims = ("limit.retry-after-is-valid", "limit.retry-after-is-honest")
        run.not_applicable(claims, "the target sends no Retry-After with its 429")
    ask(exam, "startBuild", unbuilt.ref)
    if theirs:
        first.send("startBuild", "other-key", "second", theirs.ref)
    first.send("startBuild", "confirm")
    for pause_s in (0.0, 0.1, 0.2):
        exam.rest(pause_s)
        exam.read(unbuilt.ref)
        exam.read(running.ref)
    exam.wait(running.ref)
    first.recover()
    # A start that was refused does not come along with the next one that is served.
    exam.start(exam.short("after-refusal").ref)
    exam.read(unbuilt.ref)
    # Nor is what was refused lost.
    exam.start(unbuilt.ref)
    exam.read(unbuilt.ref)
    if first.retries > 1:
        # Once may have been somebody else's doing; twice is not.
        refused_round(exam, ready.ref, polls=True).recover()


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=1, requests=800)
@pytest.mark.claims("limit.reads-are-not-charged", "limit.ends-after-back-off", "limit.retry-after-is-honest")
def test_polling_is_not_charged(exam: Examination) -> None:
    """
    After the same rest, as many starts are served with polling before them as without.
    """
    ready = exam.ready()
    first = refused_round(exam, ready.ref)
    first.recover()
    plain = Round(exam, ready.ref)
    exam.rest(first.waited_s)
    plain.burst()
    if plain.refused is None:
        return
    plain.recover()
    polled = Round(exam, ready.ref)
    running = exam.published("polled", sleep_s=round(first.waited_s + RUNNING_S, 2))
    polled.send("startBuild", "beside", ref=running.ref)
    # No shorter than before, or the two could not be compared: a longer rest gains a key no less.
    rested_s = plain.began_at - refused_at(first)
    exam.rest(max(first.waited_s, refused_at(plain) + rested_s + MARGIN_S - exam.transport.now()))
    polled.reads(READS_PER_START * max(plain.served, 1), running.ref)
    polled.burst(at_least_s=1.2 * plain.lasted_s + MARGIN_S)
    if polled.refused is not None:
        polled.recover()


def refused_at(met: Round) -> float:
    """
    When the last refusal of a round that met the limit had arrived.
    """
    return met.last_refused.done_at if met.last_refused else met.began_at


def refused_round(exam: Examination, ref: str, *, polls: bool = False) -> Round:
    """
    A first round that met a refusal.

    Raises:
        Unsuited: it met none.
    """
    first = Round(exam, ref, polls=polls)
    first.burst()
    if first.refused is None:
        raise Unsuited(
            "not-applicable", f"no start was refused in a burst of {first.served}: there is no limit to judge"
        )
    return first


# More builds than this at once are not started to find where the host is full.
MOST_BUILDS_AT_ONCE = 6


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=MOST_BUILDS_AT_ONCE + 1, requests=70)
@pytest.mark.claims(
    "limit.refused-start-starts-nothing",
    "limit.has-the-error-shape",
    "limit.ends-after-back-off",
    "status.build-does-not-vanish",
)
def test_start_refused_for_capacity_starts_nothing(exam: Examination) -> None:
    """
    On a full host a start is refused and starts nothing; once a build is cancelled there is room again.
    """
    exam.ready()
    started: list[str] = []
    for _ in range(MOST_BUILDS_AT_ONCE):
        template = exam.long("crowded")
        exam.read(template.ref)
        if ask(exam, "startBuild", template.ref).status == 429:
            exam.read(template.ref)
            make_room(exam, started)
            exam.read(template.ref)
            exam.start(template.ref)
            exam.read(template.ref)
            return
        started.append(template.ref)
        # Room that was made at the cost of another build is none.
        for ref in started:
            exam.read(ref)
    raise Unsuited("not-applicable", f"{MOST_BUILDS_AT_ONCE} builds at once met no limit of the host")


def make_room(exam: Examination, refs: Iterable[str]) -> None:
    """
    Cancels builds and waits until they have settled.
    """
    for ref in refs:
        exam.cancel(ref)
        exam.settle(ref)
