"""Whole probes in virtual time, of the twin's limiters."""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import pytest

from tests.limiter.answers import assert_alike, assert_close, most_accepted
from tests.limiter.played import NO_CAPS, PLENTY, READS, Played, played, through
from tests.limiter.virtual import Net, play
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Segment, Stimulus
from touchstone.limiter.identify import Probe
from touchstone.limiter.terms import Terms
from touchstone.twin import RateLimit

# What is told of each limiter, and on which terms it is looked for.
NAMED: dict[str, tuple[Terms, str]] = {
    "none": (READS, "none"),
    "concurrency:3,takes=0.2": (PLENTY, "concurrency:3,takes=0.2"),
    "builds:4": (PLENTY, "builds:4"),
    "leaky-bucket:20/1,burst=4": (READS, "leaky-bucket:1/0.05,burst=4"),
    "leaky-bucket:10/1,burst=8,delay=3": (PLENTY, "leaky-bucket:1/0.1,burst=8,delay=3"),
    "leaky-bucket:20/1,burst=8,delay=7": (READS, "leaky-bucket:1/0.05,burst=8,delay=7"),
    "fixed-window:5/1+builds:3": (PLENTY, "fixed-window:5/1+builds:3"),
    "fixed-window:3/1": (NO_CAPS, "fixed-window:3/1"),
    "sliding-log:3/1": (NO_CAPS, "sliding-log:3/1"),
    "token-bucket:4/2,burst=3": (NO_CAPS, "token-bucket:4/2,burst=3"),
    "minimum-gap:0.7": (NO_CAPS, "minimum-gap:0.7"),
}
SCALES_S = {"leaky-bucket:20/1,burst=4": 0.3, "leaky-bucket:20/1,burst=8,delay=7": 0.3}
# Without a rate a probe thinks for no time.
QUICK = tuple(text for text in NAMED if text.startswith(("none", "leaky", "concurrency", "builds")))
# Each push names one with a rate; `make thorough` names the others, which takes seconds for each.
NAMED_EACH_TIME = (*QUICK, "minimum-gap:0.7")
RATED = ("fixed-window:5/1+builds:3", "minimum-gap:0.7", "token-bucket:4/2,burst=3")


@pytest.mark.parametrize(
    "text", [pytest.param(text, marks=() if text in NAMED_EACH_TIME else pytest.mark.alone) for text in NAMED]
)
def test_limiter_is_named_with_its_numbers(text: str) -> None:
    """
    Its text makes a limiter that decides as the one that was asked, and so does every text that is told to be alike.
    """
    terms, expected = NAMED[text]
    found = played(text, terms).known
    assert (found.sure, found.why) == (True, "settled")
    assert RateLimit.parse(found.text).family == RateLimit.parse(expected).family
    assert len(found.tiers) == (0 if text == "none" else len(expected.split("+")))
    scale_s = SCALES_S.get(text, 1.0)
    for true in (expected, text):
        assert_close(found.text, true, scale_s)
    for other in found.alike:
        assert_alike(found.text, other, scale_s)
    for tier in found.tiers:
        assert all(number.low <= number.value <= number.high for number in tier.numbers.values())


@pytest.mark.parametrize(
    ("text", "jitter_s"),
    [
        ("leaky-bucket:50/1,burst=5", 0.0),
        ("leaky-bucket:80/1,burst=30", 0.0),
        ("leaky-bucket:100/1,burst=9,delay=4", 0.0002),
        ("leaky-bucket:16/1,burst=6", 0.01),
        ("leaky-bucket:22/4.809,burst=12", 0.02),
    ],
)
def test_fast_queue_is_one_too_and_so_is_one_behind_a_network_that_jitters(text: str, jitter_s: float) -> None:
    """Answers that take longer than one alone by little, or by as much as the network makes of it."""
    found = through(Net(text, jitter_s=jitter_s), PLENTY).known
    rate = RateLimit.parse(text)
    (tier,) = found.tiers
    assert (tier.family, found.sure) == ("leaky-bucket", True)
    numbers = {name: tier.numbers[name].value for name in ("burst", "delay")}
    assert numbers == {"delay": 0} | rate.options
    assert abs(tier.numbers["rate_per_s"].value * rate.window_s / rate.limit - 1) < 0.01


def test_volley_that_shows_a_queue_is_no_cap_though_some_were_refused() -> None:
    """It is the first one that shows it, and nothing of a cap is left."""
    whole = through(Net("leaky-bucket:20/1,burst=9", 2, jitter_s=0.02), PLENTY)
    stages = [turn.stimulus.stage for turn in whole.turns]
    shown = whole.turns[stages.index("queue") - 1]
    assert (shown.stimulus.stage, {answer.accepted for answer in shown.answers}) == ("in flight", {True, False})
    assert ([tier.family for tier in whole.known.tiers], whole.known.sure) == (["leaky-bucket"], True)


@pytest.mark.parametrize("jitter_s", [0.0, 0.02])
def test_queue_that_is_faster_than_the_network_is_not_told_as_a_cap(jitter_s: float) -> None:
    """One request after the other never waits there; how many are let through at once does not tell it from a cap."""
    far = through(Net("leaky-bucket:50/1,burst=5", jitter_s=jitter_s, leg_s=0.03), PLENTY).known
    assert (far.tiers, far.sure) == ((), False)
    assert any("that may be a cap, or a queue" in note for note in far.notes) or jitter_s


@pytest.mark.parametrize(("leg_s", "jitter_s"), [(0.0004, 0.0), (0.03, 0.0), (0.0004, 0.02), (0.03, 0.02)])
def test_cap_on_what_is_under_way_is_no_queue(leg_s: float, jitter_s: float) -> None:
    """Whatever the network does."""
    found = through(Net("concurrency:6,takes=0.2", jitter_s=jitter_s, leg_s=leg_s), PLENTY).known
    assert (found.tiers[0].family, found.tiers[0].numbers["limit"].value, found.sure) == ("concurrency", 6, True)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "lasts_s", "holds_to", "note"),
    [
        ("fixed-window:2/6", 20.0, 8, "above 8 on builds in flight: it let no more start in the 20 s"),
        ("minimum-gap:0.7", 5.0, 7, "above 7 on builds in flight: it let no more start in the 5 s"),
        ("fixed-window:2/6+builds:5", 20.0, 5, ""),
        ("minimum-gap:0.7", 300.0, 16, ""),
        ("none", 5.0, 16, ""),
    ],
)
def test_rate_that_hides_a_cap_is_said_to(text: str, lasts_s: float, holds_to: int, note: str) -> None:
    """
    Only where it lets fewer builds start, in the time that one lasts, than may be held; a cap below that is found.
    """
    found = through(Net(text, lasts_s=lasts_s), replace(PLENTY, builds_s=lasts_s)).known
    assert (found.holds_to, found.sure) == (holds_to, True)
    assert [tier.family for tier in found.tiers if tier.family == "builds"] == ["builds"] * ("builds" in text)
    assert len(found.notes) == bool(note)
    assert note in "".join(found.notes)


@pytest.mark.alone
def test_budget_that_is_spent_while_the_rate_holds_builds_back_is_said() -> None:
    """And nothing is said of a probe that somebody interrupted."""
    terms = replace(PLENTY, builds_s=300.0)
    whole = through(Net("fixed-window:2/6"), terms)
    cut = next(n for n, turn in enumerate(whole.turns) if turn.stimulus.stage == "builds") + 3
    for probe, why, notes in zip(each_rebuilt(whole, [cut, cut]), ("budget", "interrupted"), (1, 0), strict=True):
        assert probe.ask(whole.turns[cut].asked_at) is not None
        probe.stop("budget" if why == "budget" else "interrupted")
        assert len(probe.known().notes) == notes
        assert all("let no more start within the budget" in note for note in probe.known().notes)


def test_no_limit_is_told_with_what_was_tried() -> None:
    """Requests one after the other, at once, and builds in flight."""
    found = played("none", PLENTY).known
    assert (found.text, found.sure) == ("none", True)
    assert found.unlimited_to >= 200
    assert (found.uncapped_to, found.holds_to) == (16, 16)
    assert played("none", READS).known.holds_to == 0


@pytest.mark.parametrize("text", ["none", "builds:4", "concurrency:3,takes=0.2", "leaky-bucket:20/1,burst=4"])
def test_what_was_refused_by_a_rate_is_nothing_where_there_is_none(text: str) -> None:
    """Without a rate there are no families of one, and nothing that could be drawn."""
    terms, _ = NAMED[text]
    whole = played(text, terms)
    assert whole.known.families == ()


@pytest.mark.parametrize("text", ["builds:4", "minimum-gap:0.7"])
def test_same_terms_and_answers_lead_to_the_same_questions_and_identity(text: str) -> None:
    """Nothing depends on chance or on the machine."""
    terms, _ = NAMED[text]
    one, other = played(text, terms), through(Net(text), terms)
    assert [turn.stimulus for turn in one.turns] == [turn.stimulus for turn in other.turns]
    assert one.known == other.known
    assert one.probe.steps == other.probe.steps


def rebuilt(whole: Played, cut: int) -> Probe:
    """A probe that has heard what another one heard of its first stimuli, and asked nothing."""
    (probe,) = each_rebuilt(whole, [cut])
    return probe


def each_rebuilt(whole: Played, cuts: Sequence[int]) -> Iterator[Probe]:
    """One such probe for each number of stimuli; what the first ones heard is not told to the others anew."""
    growing, heard = Probe(whole.probe.terms), 0
    for cut in cuts:
        for turn in whole.turns[heard:cut]:
            growing.hear(turn.stimulus, turn.answers)
        heard = cut
        yield deepcopy(growing)


def assert_goes_on_alike(whole: Played, cuts: range) -> None:
    """A rebuilt probe asks next what the uninterrupted one asked, and knows in the end what that one knows."""
    end = len(whole.turns)
    *begun, probe = each_rebuilt(whole, [*(cut for cut in cuts if cut < end), end])
    for cut, asks in zip(cuts, begun, strict=False):
        assert asks.ask(whole.turns[cut].asked_at) == whole.turns[cut].stimulus, cut
    assert probe.ask(whole.ended_at) is None
    assert probe.known() == whole.known
    assert probe.steps == whole.probe.steps


@pytest.mark.parametrize("text", QUICK)
def test_probe_that_is_rebuilt_goes_on_as_before(text: str) -> None:
    """Whichever stimulus was the last one that it heard."""
    whole = played(text, NAMED[text][0])
    assert_goes_on_alike(whole, range(len(whole.turns)))


@pytest.mark.alone
@pytest.mark.parametrize("text", RATED)
def test_probe_of_a_rate_that_is_rebuilt_goes_on_as_before(text: str) -> None:
    """With the rate half known, and with caps half known."""
    whole = played(text, NAMED[text][0])
    assert_goes_on_alike(whole, range(2, len(whole.turns), 5))


@pytest.mark.parametrize("text", ["builds:4", "none"])
def test_probe_that_goes_on_after_an_interruption_counts_on_no_build_of_before(text: str) -> None:
    """They were cancelled at its end. Whoever hears all of it once more knows the same."""
    whole = played(text, PLENTY)
    builds = [number for number, turn in enumerate(whole.turns) if turn.stimulus.stage == "builds"]
    cuts = range(builds[0], len(whole.turns))
    for cut, probe in zip(cuts, each_rebuilt(whole, cuts), strict=True):
        net = Net(text, now_at=whole.turns[cut].asked_at)
        probe.resume()
        heard = [(turn.stimulus, turn.answers) for turn in whole.turns[:cut]]
        while (stimulus := probe.ask(net.now_at)) is not None:
            heard.append((stimulus, net.send(stimulus)))
            probe.hear(*heard[-1])
        assert [stimulus.anew for stimulus, _ in heard[cut:]] == [True] + [False] * (len(heard) - cut - 1)
        assert heard[cut][0].frees == 0
        assert (probe.known().text, probe.known().sure) == (whole.known.text, True)
        once_more = Probe(PLENTY)
        for stimulus, answers in heard:
            once_more.hear(stimulus, answers)
        assert once_more.ask(net.now_at) is None
        assert once_more.known() == probe.known()


@dataclass(frozen=True)
class Cut:
    """Sends only so many of the requests of one stimulus."""

    number: int
    count: int

    def __call__(self, number: int, net: Net, stimulus: Stimulus) -> list[Answer]:
        """Sends a stimulus, or the beginning of it."""
        if number != self.number:
            return net.send(stimulus)
        return net.send(stimulus.within(self.count, self.count)) if self.count else []


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("text", ["builds:4", "leaky-bucket:10/1,burst=8,delay=3"])
def test_probe_whose_last_stimulus_was_cut_short_comes_to_the_same(text: str, number: int, count: int) -> None:
    """It is not misled by what was not sent, and goes on alike when it is rebuilt."""
    terms, expected = NAMED[text]
    whole = through(Net(text), terms, Cut(number, count))
    assert (whole.known.text, whole.known.sure) == (expected, True)
    assert whole.known.uncapped_to == played(text, terms).known.uncapped_to
    assert_goes_on_alike(whole, range(number, number + 2))


@pytest.mark.alone
@pytest.mark.parametrize(("number", "count"), [(2, 0), (4, 2), (9, 1)])
def test_probe_of_a_rate_that_was_cut_short_comes_to_the_same(number: int, count: int) -> None:
    """In the opening, and while it looks for the rate."""
    text = "fixed-window:3/1"
    whole = through(Net(text), replace(NO_CAPS, seed=2), Cut(number, count))
    assert_close(whole.known.text, text)
    assert_goes_on_alike(whole, range(number, number + 2))


@pytest.mark.parametrize(
    ("text", "requests", "builds"),
    [
        ("none", 7, 100),
        ("none", 1000, 10),
        ("none", 1000, 211),
        ("builds:4", 1000, 6),
        ("builds:4", 1000, 12),
        ("builds:4", 1000, 206),
        ("builds:4", 30, 1000),
        ("concurrency:3,takes=0.2", 1000, 207),
        ("leaky-bucket:10/1,burst=8", 1000, 30),
        ("leaky-bucket:10/1,burst=8", 27, 1000),
        ("fixed-window:3/1", 12, 1000),
        ("fixed-window:3/1", 1000, 5),
        ("minimum-gap:0.7", 1000, 3),
        ("token-bucket:20/1,empty", 1000, 3),
    ],
)
def test_budget_holds_whatever_is_answered(text: str, requests: int, builds: int) -> None:
    """No more is asked for than may be sent, nor than may be accepted."""
    text = text.replace(",empty", ",burst=4,starts=empty")
    whole = through(Net(text), Terms(seed=1, starts=True, most_requests=requests, most_builds=builds, most_s=600.0))
    for turn in whole.turns:
        assert 0 < turn.stimulus.most <= turn.requests_left, turn.stimulus.name
        assert most_accepted(turn.stimulus) <= turn.builds_left, turn.stimulus.name
    spent = whole.known.cost
    assert spent.requests <= requests
    assert spent.builds <= builds
    assert whole.known.why in ("budget", "settled", "nothing left to learn")


@pytest.mark.parametrize("text", ["builds:4", "concurrency:3,takes=0.2"])
def test_cap_that_was_met_and_not_proven_is_not_sure(text: str) -> None:
    """A probe of which the budget is spent says no more than it knows."""
    whole = played(text, PLENTY).known.cost
    unsure = 0
    for requests in range(whole.requests - 60, whole.requests):
        found = through(Net(text), replace(PLENTY, most_requests=requests)).known
        if found.cost.refused:
            assert found.text != "none" or not found.sure, requests
            unsure += not found.sure
    assert unsure


def test_soak_goes_on_until_so_many_were_let_through() -> None:
    """After the limiter is known, as many as it lets through, within the budget."""
    terms = replace(NO_CAPS, soak=20)
    whole = through(Net("minimum-gap:0.7"), terms)
    assert whole.known.cost.builds >= 20
    assert_close(whole.known.text, "minimum-gap:0.7")
    assert whole.turns[-1].stimulus.stage == "soak"
    assert through(Net("minimum-gap:0.7"), replace(terms, most_builds=15)).known.cost.builds == 15


def test_reads_have_no_budget_of_builds() -> None:
    """Nothing is begun that would be counted."""
    assert played("none", READS).known.cost.builds == 0


def test_probe_that_is_stopped_asks_no_more() -> None:
    """And says why."""
    probe = Probe(PLENTY)
    assert probe.ask(0.0) is not None
    probe.stop("interrupted")
    assert probe.ask(0.0) is None
    assert (probe.known().why, probe.known().sure, probe.known().text) == ("interrupted", False, "none")


def test_each_step_says_what_was_known_after_it() -> None:
    """One for each stimulus, in order of time, with probabilities; one per cent is left until it is settled."""
    whole = played("fixed-window:3/1", NO_CAPS)
    steps = whole.probe.steps
    assert [step.name for step in steps] == [turn.stimulus.name for turn in whole.turns]
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    told = [step.families for step in steps if step.families]
    after = [step.families for step in steps if step.name == "soak"]
    assert all(sum(families.values()) == pytest.approx(0.99) for families in told[: -1 - len(after)])
    assert all(sum(families.values()) == pytest.approx(1) for families in [*after, told[-1]])
    assert next(iter(told[-1])) == "fixed-window"


@pytest.mark.parametrize("text", ["fixed-window:3/1", "sliding-log:3/1", "token-bucket:4/2,burst=3", "minimum-gap:0.7"])
def test_honest_answers_are_no_finding(text: str) -> None:
    """Whole seconds that are never too short."""
    assert any(answer.retry_after_s is not None for answer in played(text, NO_CAPS).answers)
    assert played(text, NO_CAPS).known.findings == ()


@dataclass
class Talks(Net):
    """A limiter whose refusals say what they say, whatever it does."""

    says_s: float = 0.0
    quota: dict[str, float] = field(default_factory=dict)

    def _decide(self, met_at: float) -> tuple[bool, float, float | None]:
        accepted, delay_s, hint_s = super()._decide(met_at)
        return accepted, delay_s, hint_s if hint_s is None else self.says_s

    def _ask(self, sent_at: float, segment: Segment, stream: int, leg_s: float | None = None) -> Answer:
        return replace(super()._ask(sent_at, segment, stream, leg_s), quota=self.quota)


@pytest.mark.alone
@pytest.mark.parametrize(("says_s", "word"), [(0.0, "less"), (30.0, "more")])
def test_answers_that_lie_are_findings_and_do_not_mislead(says_s: float, word: str) -> None:
    """Retry-After that is too short or too long, and RateLimit fields that tell of another limit."""
    probe = Probe(NO_CAPS)
    play(probe, Talks("fixed-window:3/3", says_s=says_s, quota={"limit": 10.0, "window_s": 60.0}))
    found = probe.known()
    assert found.sure
    assert_close(found.text, "fixed-window:3/3", 3.0)
    retry_after, limit, window = found.findings
    assert retry_after.startswith(f"Retry-After says {word} than is left")
    assert "limit of 10, and 3" in limit
    assert "window of 60 s, and it is " in window


@dataclass
class Lingers(Net):
    """A target whose builds end some time after they were cancelled; nothing is sent before all of them have ended."""

    linger_s: float = 0.3
    ending: list[float] = field(default_factory=list)

    def _ended(self, by: float) -> None:
        for end_at in [end_at for end_at in self.ending if end_at <= by]:
            self.ending.remove(end_at)
            self._limiter.ended(self.began_at + end_at)

    def _settle(self) -> None:
        self.now_at = max([self.now_at, *self.ending])
        self._ended(math.inf)

    def send(self, stimulus: Stimulus) -> list[Answer]:
        """Sends a stimulus when no build is on its way to end."""
        self._settle()
        return super().send(stimulus)

    def _serial(self, segment: Segment) -> Iterator[Answer]:
        if not segment.alone:
            yield from super()._serial(segment)
            return
        for at in segment.at:
            self._settle()
            (answer,) = super()._serial(replace(segment, at=(at,)))
            yield answer
            if segment.until == ("accepted" if answer.accepted else "refused"):
                return

    def _ask(self, sent_at: float, segment: Segment, stream: int, leg_s: float | None = None) -> Answer:
        self._ended(sent_at)
        answer = super()._ask(sent_at, replace(segment, holds=True), stream, leg_s)
        if answer.accepted and not segment.holds:
            self.held.pop()
            self.ending.append(answer.done_at + self.linger_s)
        return answer


@pytest.mark.parametrize("linger_s", [0.005, 0.05, 0.5, 3.0])
@pytest.mark.parametrize("cap", [2, 4, 9])
def test_builds_that_end_late_make_no_rate_of_a_cap(cap: int, linger_s: float) -> None:
    """A start is refused as long as cancelled builds have not ended, and that is no rate."""
    probe = Probe(PLENTY)
    play(probe, Lingers(f"builds:{cap}", linger_s=linger_s))
    found = probe.known()
    assert (found.text, found.sure) == (f"builds:{cap}", True)
    assert found.families == ()


@pytest.mark.alone
def test_builds_that_end_late_do_not_hide_a_rate() -> None:
    """Behind a cap there may be a log."""
    probe = Probe(PLENTY)
    play(probe, Lingers("sliding-log:12/2+builds:2", linger_s=0.05))
    assert_close(probe.known().text, "sliding-log:12/2+builds:2")


@pytest.mark.alone
@pytest.mark.parametrize("text", ["fixed-window:12/2+builds:3", "sliding-log:12/2+builds:3"])
def test_no_other_rate_is_sure_where_builds_that_end_late_hide_it(text: str) -> None:
    """It may be found all the same; none explains what they refused as well."""
    found = through(Lingers(text, linger_s=0.05), replace(PLENTY, most_requests=100)).known
    if found.sure:
        assert_close(found.text, text)


@pytest.mark.alone
@pytest.mark.parametrize("linger_s", [0.03, 0.05])
def test_rate_that_refuses_soon_after_the_cap_did_is_found(linger_s: float) -> None:
    """
    What builds explain that had not ended tells nothing of it; those that show the cap are freed once that is known.
    """
    text = "fixed-window:12/2+builds:3"
    whole = through(Lingers(text, linger_s=linger_s), PLENTY)
    assert whole.known.sure
    assert_close(whole.known.text, text)
    stages = [turn.stimulus.stage for turn in whole.turns]
    again = len(stages) - 1 - stages[::-1].index("builds") + 1
    assert whole.turns[again].stimulus.frees == 3
    later = [turn.stimulus for turn in whole.turns[again + 1 :]]
    assert {stimulus.frees for stimulus in later} <= {0}
    assert all(segment.alone for stimulus in later if stimulus.stage == "rate" for segment in stimulus.segments)


@pytest.mark.parametrize(
    "net",
    [
        Lingers("token-bucket:10/3.64+builds:8", linger_s=1.0),
        Net("token-bucket:10/1,burst=8+concurrency:3,takes=0.2"),
    ],
    ids=["builds", "concurrency"],
)
def test_rate_that_one_alone_never_meets_is_not_lost(net: Net) -> None:
    """As many as the cap lets in meet it; which it is nobody knows, and the probe is not sure."""
    found = through(net, PLENTY).known
    assert (len(found.tiers), found.sure, found.why) == (1, False, "nothing left to learn")
    assert any("there is a rate that one alone never meets" in note for note in found.notes)


@pytest.mark.alone
@pytest.mark.parametrize(
    "net",
    [
        Lingers("builds:4", linger_s=0.3),
        Net("concurrency:3,takes=0.2"),
        Net("token-bucket:10/1,burst=8+concurrency:3,takes=0.07"),
    ],
    ids=["builds", "concurrency", "both are met"],
)
def test_cap_alone_and_a_rate_that_is_met_are_sure(net: Net) -> None:
    """Though builds end late, or answers take long."""
    found = through(net, PLENTY).known
    assert (found.sure, found.notes) == (True, ())
    assert [tier.family for tier in found.tiers] == [tier.family for tier in RateLimit.parse(net.text).tiers]
