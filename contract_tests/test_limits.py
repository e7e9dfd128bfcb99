"""
Refusals for a limit: what they look like, what they leave alone, and how they end. Note facts: rules/rounds.py.

Some services count every start, others only what begins a build. So a ready version is started first, and where that
meets no limit, versions that were never built are, each of which is cancelled at once.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from situations import ask, lasting
from touchstone.examination import Examination
from touchstone.exchange import Credential, Exchange
from touchstone.patience import back_off_s, retry_after_s
from touchstone.provision import Template
from touchstone.run import Run
from touchstone.terms import Unsuited
from touchstone.transport import Call
from touchstone.waits import IDLE

# A limit that lets more starts than this through in one burst is not looked for: it would not bother a client.
LONGEST_BURST = 120
# So many builds are begun, and cancelled at once, before a limit on builds is taken for absent.
MOST_BUILDS = {"quick": 12, "standard": 24, "thorough": 24}
READS_PER_START = 3

# What a build takes longer than the rest before the reads, so that it runs while they are sent.
RUNNING_S = 4.0

# Waited beyond Retry-After, so that a server that comes back on the second is not asked a moment too early.
MARGIN_S = 0.05

# After so many waits in vain, a Retry-After below this is not followed any more: the pauses double.
HONEST_WAITS, LEAST_WAIT_S = 2, 1.0

# More builds than this at once are not started to find where the host is full.
MOST_BUILDS_AT_ONCE = 8

# What is waited for in vain where a limit does not end though nothing is in flight.
REFUSED = ("startBuild", "429", "nothing in flight")

# A case that is tried again has rounds of its own.
ROUNDS = itertools.count(1)


@dataclass
class Round:
    """
    One burst of starts until one is refused, and the way back.

    Attributes:
        versions: What is started in turn: one ready version, or versions that were never built.
        most: Starts after which no limit is expected any more.
        builds: What becomes of builds that the burst begins, see rules/rounds.py; empty for a ready version.
        at_once: Builds that may be in flight; the oldest one has to be over before another one is begun.
        polls: Whether the status is read while waiting, as clients do; not where reads themselves are compared.
        in_flight: Versions whose builds may still run, oldest first, and whether each was cancelled.
        witness: The first of them, which runs on until the refusal, so that one that ends running builds is noticed.
    """

    exam: Examination
    versions: Sequence[Template]
    most: int = LONGEST_BURST
    builds: str = ""
    at_once: int = LONGEST_BURST
    polls: bool = False
    number: int = field(default_factory=lambda: next(ROUNDS))
    served: int = 0
    refused: Exchange | None = None
    last_refused: Exchange | None = None
    is_other_refused: bool = False
    retries: int = 0
    waited_s: float = 0.0
    lasted_s: float = 0.0
    began_at: float = 0.0
    in_flight: dict[str, bool] = field(default_factory=dict)
    witness: str = ""

    def again(self, *, polls: bool = False) -> "Round":
        """
        Another round with the same versions.
        """
        most = len(self.versions) if self.builds else LONGEST_BURST
        return Round(self.exam, self.versions, most, self.builds, self.at_once, polls)

    def send(
        self, operation: str, phase: str, ref: str, credential: Credential = "primary", *, gave_up: bool = False
    ) -> Exchange:
        """
        Sends one request of the round.
        """
        note = {"round": self.number, "phase": phase}
        note |= {"gave_up": True} if gave_up else {}
        note |= {"builds": self.builds} if self.builds else {}
        answer = self.exam.send(Call(operation, ref, credential, note={"limit": note}))
        if credential != "primary":
            self.is_other_refused |= answer.status == 429
        elif answer.status == 429:
            self.last_refused = answer
        if self.builds and operation == "startBuild" and credential == "primary" and answer.status < 400:
            self.in_flight[ref] = False
        return answer

    def burst(self, at_least_s: float = 0.0) -> None:
        """
        Starts one version after the other until a start is refused, and no shorter than *at_least_s*.
        """
        self.began_at = self.exam.transport.now()
        for template in itertools.cycle(self.versions):
            while template.ref in self.in_flight or len(self.in_flight) >= self.at_once:
                self._end(next(iter(self.in_flight)))
            answer = self.start(template.ref)
            if self.builds == "cancelled" and answer.status < 400:
                self._cancel_or_keep(template.ref)
            if (self.refused and self.lasted_s >= at_least_s) or self.served >= self.most:
                return

    def start(self, ref: str) -> Exchange:
        """
        Sends one start of the burst.
        """
        answer = self.send("startBuild", "burst", ref)
        self.lasted_s = self.exam.transport.now() - self.began_at
        # A limit that is told otherwise than by 429 is one all the same, and only this shows it.
        if answer.status >= 400:
            self.refused = self.refused or answer
        elif self.refused is None:
            self.served += 1
        return answer

    def _cancel_or_keep(self, ref: str) -> None:
        if self.at_once > 1 and not self.witness:
            self.witness = ref
        else:
            self._cancel(ref)

    def _cancel(self, ref: str) -> None:
        self.in_flight[ref] = True
        self.exam.cancel(ref)

    def _end(self, ref: str) -> None:
        """
        Waits until a build is over; cancels it where that was not done yet.
        """
        if not self.in_flight[ref]:
            self._cancel(ref)
        del self.in_flight[ref]
        if self.exam.settle(ref).body.get("status") not in IDLE:
            raise Unsuited(
                "indeterminate", f"the cancelled build of {ref} did not end, and may take the room of others"
            )

    def make_room(self) -> None:
        """
        Ends each build that the round has in flight.

        Raises:
            Unsuited: one does not end.
        """
        while self.in_flight:
            self._end(next(iter(self.in_flight)))
        self.witness = ""

    def reads(self, number: int, running: str) -> None:
        """
        Reads so many times, in turns what clients poll: this version, the one that is *running*, and the document.
        """
        own = self.versions[0].ref
        polled = itertools.cycle([("getBuild", own), ("getBuild", running), ("getTemplate", own)])
        for operation, ref in itertools.islice(polled, number):
            self.send(operation, "reads", ref)

    def look(self, *refs: str) -> None:
        """
        Reads versions right after a refusal, and twice a little later.
        """
        for pause_s in (0.0, 0.1, 0.2):
            self.exam.rest(pause_s)
            for ref in refs:
                self.exam.read(ref)

    def confirm(self, ref: str, other: Template | None) -> bool:
        """
        Starts the version of another account, then *ref*; whether that one is still refused.
        """
        if other:
            self.send("startBuild", "other-key", other.ref, other.owner)
        return self.send("startBuild", "confirm", ref).status >= 400

    @property
    def refused_ref(self) -> str:
        """
        The version whose start was refused first.
        """
        return (self.refused.ref if self.refused else None) or self.versions[0].ref

    def recover(self) -> None:
        """
        Waits as the server says, or doubling, until a start is served.

        Raises:
            Unsuited: none was, and the wait was cut short since earlier ones were in vain.
        """
        answer, waits = self.last_refused, self.exam.vain
        patience_s = waits.limit_s(REFUSED, self.exam.target.patience_s)
        # Not the refused version: a start that was refused must not come along with the next one that is served.
        ref = next((version.ref for version in self.versions if version.ref != self.refused_ref), self.refused_ref)
        for wait_s in back_off_s():
            asked_s = retry_after_s(answer.response) if answer else None
            if asked_s is not None and asked_s < LEAST_WAIT_S and self.retries >= HONEST_WAITS:
                asked_s = None
            # The patience bounds each wait, too: a server may ask for days.
            pause_s = min((wait_s if asked_s is None else asked_s) + MARGIN_S, patience_s)
            # It counts from the refusal: what was sent since then is part of the wait.
            if self.polls:
                self.exam.read(ref)
            gone_s = self.exam.transport.now() - answer.done_at if answer else 0.0
            self.exam.rest(max(0.0, pause_s - gone_s))
            self.waited_s += pause_s
            last = self.waited_s >= patience_s
            is_whole = patience_s >= self.exam.target.patience_s
            answer = self.send("startBuild", "retry", ref, gave_up=last and is_whole)
            self.retries += 1
            if answer.status < 400:
                waits.lift(REFUSED, 0, self.waited_s)
                return
            if last:
                waits.add(REFUSED)
                raise Unsuited("indeterminate", f"still refused after {self.waited_s:.0f} s of patience")


@pytest.mark.cost(builds={"quick": 30, "standard": 54, "thorough": 54}, requests=300)
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
    first = Round(exam, [ready], polls=True)
    first.burst()
    if first.refused is None:
        exam.wait(running.ref)
        rate_of_builds(exam, run)
        return
    without_retry_after(run, first)
    ask(exam, "startBuild", unbuilt.ref)
    first.confirm(ready.ref, theirs)
    first.look(unbuilt.ref, running.ref)
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
        second = first.again(polls=True)
        second.burst()
        second.recover()


def rate_of_builds(exam: Examination, run: Run) -> None:
    """
    The same where starts of a ready version met no limit: builds are begun until one is refused.
    """
    theirs = exam.long("theirs", owner="second") if exam.target.second_api_key else None
    first = refused_for_a_rate(exam, run, theirs)
    recover_with_builds(first)
    if first.retries > 1 or first.is_other_refused or not first.served:
        # Once may have been somebody else's doing; twice is not.
        second = first.again(polls=True)
        second.burst()
        if is_for_a_rate(second, theirs):
            recover_with_builds(second)


def refused_for_a_rate(exam: Examination, run: Run, theirs: Template | None = None) -> Round:
    """
    A round of builds, each cancelled at once, that met a refusal which lasts when none of them is in flight any more.

    Raises:
        Unsuited: there was none.
    """
    most, began_at, begun = MOST_BUILDS[run.settings.profile], exam.transport.now(), 0
    met = Round(exam, [exam.long("limited") for _ in range(most)], most, "cancelled", polls=True)
    # The first refusal may be the end of what earlier cases have left of a rate, the second one may be for lack of
    # room: in the last burst no more builds are in flight than there was room for.
    room = 1
    for is_last in (False, False, True):
        met = replace(met.again(polls=True), at_once=room if is_last else most)
        met.burst()
        begun += met.served
        tried = f"{begun} builds started within {exam.transport.now() - began_at:.1f} s"
        if met.refused is None:
            met.make_room()
            fewer = f" with {met.at_once} of them in flight at most" if met.at_once < most else ""
            raise Unsuited("not-applicable", f"{tried}, none refused{fewer}")
        room = max(room, len(met.in_flight))
        without_retry_after(run, met)
        if is_for_a_rate(met, theirs):
            return met
    raise Unsuited("indeterminate", f"{tried}; whatever was refused was served once the builds in flight were over")


def is_for_a_rate(met: Round, theirs: Template | None = None) -> bool:
    """
    Whether a start is still refused once none of the run's builds is in flight; what the refusal did is looked at.
    """
    exam, refused_ref = met.exam, met.refused_ref
    for ref in (refused_ref, met.witness):
        if ref:
            exam.read(ref)
    met.make_room()
    still = met.confirm(refused_ref, theirs)
    if still:
        met.look(refused_ref)
    met.make_room()
    if theirs:
        end_theirs(met, theirs)
    return still


def end_theirs(met: Round, *theirs: Template) -> None:
    """
    Ends the builds of the other account; one that was refused has none, which is looked at.
    """
    for template in theirs:
        if met.is_other_refused and template == theirs[-1]:
            met.exam.read(template.ref, template.owner)
        else:
            met.exam.cancel(template.ref, template.owner)
            met.exam.settle(template.ref)


def recover_with_builds(met: Round) -> None:
    """
    Waits until a build is begun again, and then begins the one that was refused.
    """
    exam, refused_ref = met.exam, met.refused_ref
    met.recover()
    # A start that was refused does not come along with the next one that is served. Nor is it lost.
    exam.read(refused_ref)
    exam.start(refused_ref)
    exam.read(refused_ref)
    met.in_flight[refused_ref] = False
    met.make_room()


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=80, requests=800)
@pytest.mark.claims("limit.reads-are-not-charged", "limit.ends-after-back-off", "limit.retry-after-is-honest")
def test_polling_is_not_charged(exam: Examination, run: Run) -> None:
    """
    After the same rest, as many starts are served with polling before them as without.
    """
    first = Round(exam, [exam.ready()])
    first.burst()
    if first.refused is None:
        first = refused_for_a_rate(exam, run)
    first.recover()
    first.make_room()
    plain = first.again()
    exam.rest(first.waited_s)
    plain.burst()
    plain.make_room()
    if plain.refused is None:
        return
    plain.recover()
    plain.make_room()
    polled = first.again()
    running = exam.published("polled", sleep_s=round(lasting(exam, first.waited_s + RUNNING_S), 2))
    polled.send("startBuild", "beside", running.ref)
    # No shorter than before, or the two could not be compared: a longer rest gains a key no less.
    rested_s = plain.began_at - refused_at(first)
    exam.rest(max(first.waited_s, refused_at(plain) + rested_s + MARGIN_S - exam.transport.now()))
    polled.reads(READS_PER_START * max(plain.served, 1), running.ref)
    polled.make_room()  # the build beside the reads would take the room of one in the burst
    polled.burst(at_least_s=1.2 * plain.lasted_s + MARGIN_S)
    polled.make_room()
    if polled.refused is not None:
        polled.recover()
        polled.make_room()


def refused_at(met: Round) -> float:
    """
    When the last refusal of a round that met the limit had arrived.
    """
    return met.last_refused.done_at if met.last_refused else met.began_at


def without_retry_after(run: Run, met: Round) -> None:
    """
    Says that Retry-After cannot be judged where a refusal has none.
    """
    if met.refused and met.refused.response and met.refused.response.header("Retry-After") is None:
        claims = ("limit.retry-after-is-valid", "limit.retry-after-is-honest")
        run.not_applicable(claims, "the target sends no Retry-After with its 429")


@pytest.mark.profile("standard")
@pytest.mark.cost(builds=MOST_BUILDS_AT_ONCE + 4, requests=150)
@pytest.mark.claims(
    "limit.refused-start-starts-nothing",
    "limit.has-the-error-shape",
    "limit.ends-after-back-off",
    "status.build-does-not-vanish",
)
def test_start_refused_for_capacity_starts_nothing(exam: Examination) -> None:
    """
    On a full host a start is refused and starts nothing; once builds are cancelled there is room again.
    """
    exam.ready()
    theirs = [exam.long("theirs", owner="second") for _ in range(2)] if exam.target.second_api_key else []
    if theirs:
        exam.start(theirs[0].ref, "second")
    met = Round(exam, [], builds="kept")
    for _ in range(MOST_BUILDS_AT_ONCE):
        template = exam.long("crowded")
        exam.read(template.ref)
        if met.start(template.ref).status >= 400:
            break
        # Room that was made at the cost of another build is none.
        for ref in met.in_flight:
            exam.read(ref)
    if met.refused is None:
        raise Unsuited("not-applicable", f"{len(met.in_flight)} builds at once met no limit of the host")
    met.versions = [template]
    met.look(template.ref, *met.in_flight, *[each.ref for each in theirs[:1]])
    met.confirm(template.ref, theirs[1] if theirs else None)
    exam.read(template.ref)
    met.make_room()
    end_theirs(met, *theirs)
    met.recover()
    exam.read(template.ref)
    met.make_room()
