"""Whole identifications of the twin's limiters in virtual time: right family, exact counts, times within a share."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.limiter.forms import drawn
from tests.limiter.judged import judge
from tests.limiter.played import NO_CAPS, PLENTY, READS, Played, played, through
from tests.limiter.virtual import Net
from tests.limiting import decide
from touchstone.facts.identity import Identity
from touchstone.facts.probe import Answer, Segment, Stimulus, Terms
from touchstone.limiter.identify import Probe
from touchstone.limiter.pace import pace
from touchstone.twin import RateLimit

SHORT = Terms(1, True, most_requests=400, most_builds=400, most_s=300.0, caps=False)


def assert_right(text: str, known: Identity, error: float = 0.02) -> None:
    """An identity has the right families, options and counts, and its times nearly so."""
    judged = judge(text, known)
    assert (judged.family, judged.variant, judged.exact, judged.readable) == (True, True, True, True), known
    assert judged.error <= error, known
    for tier in known.tiers:
        assert all(number.low <= number.value <= number.high for number in tier.numbers.values())


def case(text: str, terms: Terms = NO_CAPS, *, alone: bool = False, **net: Any) -> Any:
    more = "".join(f",{name}={value}" for name, value in net.items())
    return pytest.param(text, terms, net, id=f"{text}{more}", marks=pytest.mark.alone if alone else ())


@pytest.mark.parametrize(
    ("text", "terms", "net"),
    [
        case("none", READS),
        case("none", PLENTY, leg_s=0.02),
        case("concurrency:3,takes=0.2", PLENTY),
        *(case("concurrency:6,takes=0.2", PLENTY, jitter_s=late_s, leg_s=0.03) for late_s in (0.0, 0.02)),
        case("concurrency:6,takes=0.2", PLENTY, jitter_s=0.02),
        case("builds:4", PLENTY),
        case("leaky-bucket:20/1,burst=4", READS),
        case("leaky-bucket:10/1,burst=8,delay=3", PLENTY),
        case("leaky-bucket:20/1,burst=8,delay=7", READS),
        case("leaky-bucket:50/1,burst=5", PLENTY),
        case("leaky-bucket:80/1,burst=30", PLENTY),
        case("leaky-bucket:100/1,burst=9,delay=4", PLENTY, jitter_s=0.0002),
        case("leaky-bucket:16/1,burst=6", PLENTY, jitter_s=0.01),
        case("leaky-bucket:22/4.809,burst=12", PLENTY, jitter_s=0.02),
        case("minimum-gap:0.7", foreign_per_s=0.3, seed=2),
        case("minimum-gap:0.7+builds:3", PLENTY),
        case("fixed-window:5/1+builds:3", PLENTY),
        case("sliding-log:3/1"),
        case("token-bucket:4/2,burst=3"),
        pytest.param("sliding-counter:3/1", NO_CAPS, {}, id="sliding-counter:3/1", marks=pytest.mark.whole),
        case("sliding-log:5/1.3", replace(NO_CAPS, seed=2, soak=60), alone=True),
        case("token-bucket:10/1,burst=8+concurrency:3,takes=0.07", PLENTY, alone=True),
        *(case("fixed-window:12/3", alone=True, jitter_s=late_s) for late_s in (0.005, 0.02)),
    ],
)
def test_limiter_is_identified(text: str, terms: Terms, net: dict[str, Any]) -> None:
    whole = through(Net(text, **net), terms)
    assert (whole.known.sure, whole.known.why) == (True, "settled")
    assert_right(text, whole.known)
    cost = whole.known.cost
    assert (cost.requests, cost.refused) == (len(whole.answers), sum(not a.accepted for a in whole.answers))


def test_limiter_is_identified_among_all_kinds(all_kinds: None) -> None:
    for text, net in (("minimum-gap:0.7", Net("minimum-gap:0.7", jitter_s=0.005)), ("fixed-window:2/0.8", None)):
        known = through(net or Net(text), NO_CAPS).known
        assert known.sure
        assert_right(text, known)


@pytest.mark.alone
@pytest.mark.parametrize(
    "name",
    [
        *("fixed-window", "fixed-window/clock", "sliding-log", "sliding-log/count", "sliding-counter"),
        *("token-bucket", "minimum-gap", "leaky-bucket", "none", "concurrency", "builds", "sliding-log+builds"),
    ],
)
def test_small_limiter_of_each_form_is_identified(name: str) -> None:
    text = drawn(name, 1, most=8)
    known = through(Net(text), Terms(1, True, most_requests=1000, most_builds=400, most_s=900.0)).known
    judged = judge(text, known)
    assert (known.sure, judged.family, judged.exact, judged.misled) == (True, True, True, False), known
    assert judged.error <= 0.01, known


@pytest.mark.parametrize(
    ("text", "terms", "seed"),
    [
        pytest.param(
            "fixed-window:2/0.4+fixed-window:6/5", replace(NO_CAPS, most_requests=300), 1, marks=pytest.mark.whole
        ),
        *(
            pytest.param(text, terms, seed, marks=pytest.mark.alone)
            for text, terms, seed in (
                ("sliding-log:5/1.3+fixed-window:20/10", replace(NO_CAPS, seed=2, soak=60, most_requests=600), 1),
                ("sliding-log:4/0.7+fixed-window:14/9", SHORT, 1),
                ("sliding-log:9/0.651+fixed-window:37/11.443", replace(PLENTY, seed=904), 904),
                ("sliding-log:10/0.503+fixed-window:43/8.431", replace(PLENTY, seed=925), 925),
            )
        ),
    ],
)
def test_limit_behind_another_is_found(text: str, terms: Terms, seed: int) -> None:
    whole = through(Net(text, seed=seed), terms)
    tiers, true = whole.known.tiers, RateLimit.parse(text).tiers
    assert [tier.family for tier in tiers] == [tier.family for tier in true]
    assert [tier.numbers["limit"].value for tier in tiers] == [tier.limit for tier in true]
    assert tiers[1].numbers["window_s"].value == pytest.approx(true[1].window_s, rel=0.02)
    assert whole.known.notes == ()


@pytest.mark.parametrize(("text", "leg_s", "jitter_s"), [("leaky-bucket:50/1,burst=5", 0.03, s) for s in (0.0, 0.02)])
def test_queue_faster_than_the_network_is_no_cap(text: str, leg_s: float, jitter_s: float) -> None:
    far = through(Net(text, jitter_s=jitter_s, leg_s=leg_s), PLENTY).known
    assert (far.tiers, far.sure) == ((), False)


def test_window_that_ends_while_it_is_filled_is_identified() -> None:
    far = through(Net("fixed-window:30/1", leg_s=0.01), NO_CAPS).known
    assert far.sure
    assert_right("fixed-window:30/1", far)


@pytest.mark.parametrize("soak", [0, pytest.param(900, marks=pytest.mark.alone)])
def test_quota_is_found_by_a_soak_alone(soak: int) -> None:
    terms = replace(NO_CAPS, most_requests=1000, most_builds=1000, most_s=200.0, soak=soak)
    found = through(Net("700/3600"), terms).known
    assert (found.sure, found.unlimited_to) == ((False, 0) if soak else (True, 200))
    assert not soak or found.tiers[0].numbers["limit"].value == 700


@dataclass
class Moody(Net):
    """A target that refuses three builds in a row at first, although one of those in flight was cancelled meanwhile."""

    refusals: int = 3

    def _ask(self, sent_at: float, segment: Segment, stream: int, leg_s: float | None = None) -> Answer:
        if segment.holds and len(self.held) >= 7 and self.refusals:
            self.refusals -= 1
            return Answer(sent_at, sent_at + 0.001, accepted=False)
        return super()._ask(sent_at, segment, stream, leg_s)


def test_no_limit_is_never_certain_after_a_refusal() -> None:
    found = through(Moody("none"), PLENTY).known
    assert (found.cost.refused, found.text, found.sure, found.unlimited_to) == (3, "none", False, 0)
    assert found.refused_for_s > 0


def test_no_limit_is_described_by_what_was_tried() -> None:
    found = played("none", PLENTY).known
    assert (found.text, found.sure, found.families, found.notes) == ("none", True, (), ())
    assert found.unlimited_to >= 200
    assert (found.uncapped_to, found.holds_to, played("none", READS).known.holds_to) == (16, 16, 0)


@dataclass
class Lingers(Net):
    """A target whose builds end some time after they were cancelled; nothing is sent before all of them have ended."""

    linger_s: float = 0.3
    ending: list[float] = field(default_factory=list)

    def _ended(self, by: float) -> None:
        for end_at in [end_at for end_at in self.ending if end_at <= by]:
            self.ending.remove(end_at)
            self._limiter.ended()

    def _settle(self, beside: int = 0) -> None:
        still = sorted(self.ending)
        while still and len(still) + len(self.held) > beside:
            self.now_at = max(self.now_at, still.pop(0))
        self._ended(self.now_at)

    def send(self, stimulus: Stimulus) -> list[Answer]:
        self._settle()
        return super().send(stimulus)

    def _serial(self, segment: Segment) -> Iterator[Answer]:
        if segment.beside is None:
            yield from super()._serial(segment)
            return
        for at in segment.at:
            self._settle(segment.beside)
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
    found = through(Lingers(f"builds:{cap}", linger_s=linger_s), PLENTY).known
    assert (found.text, found.sure, found.families, found.notes) == (f"builds:{cap}", True, (), ())


class Lags(Lingers):
    """A target whose builds end when they are cancelled, but whose places are free only some time after that."""

    def _settle(self, beside: int = 0) -> None:
        self._ended(self.now_at)

    def send(self, stimulus: Stimulus) -> list[Answer]:
        count = min(stimulus.frees, len(self.held))
        self.held, self.ending = self.held[count:], [*self.ending, *[self.now_at + self.linger_s] * count]
        return super().send(replace(stimulus, frees=0))


@pytest.mark.parametrize(("cap", "lag_s"), [(5, 0.25), (7, 0.5)])
def test_cap_whose_places_are_free_late_is_named_with_what_is_open(cap: int, lag_s: float) -> None:
    whole = through(Lags(f"builds:{cap}", linger_s=lag_s), PLENTY)
    found, rebuilt = whole.known, Probe(PLENTY)
    for turn in whole.turns:
        rebuilt.observe(turn.stimulus, turn.answers)
    assert replace(rebuilt.known(), why=found.why) == found
    assert (found.tiers[-1].text, found.sure) == (f"builds:{cap}", False)
    assert any("may keep its place" in note for note in found.notes)
    safe = pace(found.tiers)
    assert safe.in_flight == cap - 1
    assert safe.spacing_s > lag_s


@dataclass
class Slows(Net):
    """A target that refuses nothing, and delays what comes beyond 12 requests in a window of 7 s."""

    came_at: list[float] = field(default_factory=list)

    def _ask(self, sent_at: float, segment: Segment, stream: int, leg_s: float | None = None) -> Answer:
        answer = super()._ask(sent_at, segment, stream, leg_s)
        self.came_at = [at for at in self.came_at if at // 7.0 == sent_at // 7.0] + [sent_at]
        return replace(answer, done_at=answer.done_at + 0.25 * max(0, len(self.came_at) - 12))


def test_target_that_delays_instead_of_refusing_is_not_certain() -> None:
    found = through(Slows("none"), PLENTY).known
    assert (found.text, found.sure) == ("none", False)
    assert any("may delay requests" in note for note in found.notes)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "linger_s", "most"),
    [
        ("sliding-log:12/2+builds:2", 0.05, 2000),
        ("fixed-window:12/2+builds:3", 0.03, 2000),
        ("fixed-window:12/2+builds:3", 0.05, 2000),
        ("fixed-window:12/2+builds:3", 0.05, 100),
        ("sliding-log:12/2+builds:3", 0.05, 100),
        ("fixed-window:20/1+builds:4", 0.05, 150),
        ("token-bucket:10/1,burst=5+builds:3", 0.05, 150),
        ("sliding-log:5/2+builds:3", 0.2, 150),
    ],
)
def test_builds_that_end_late_do_not_hide_a_rate(text: str, linger_s: float, most: int) -> None:
    whole = through(Lingers(text, linger_s=linger_s), replace(PLENTY, most_requests=most))
    if whole.known.sure or most > 100:
        assert_right(text, whole.known)
    assert whole.known.sure or most != 150


@pytest.mark.parametrize(
    ("net", "family"),
    [
        (Net("token-bucket:10/1,burst=8+concurrency:3,takes=0.2"), "concurrency"),
        (Net("token-bucket:60/1,burst=24", leg_s=0.02), None),
    ],
    ids=["concurrency", "neither"],
)
def test_rate_that_one_alone_never_meets_is_doubted(net: Net, family: str | None) -> None:
    whole = through(net, PLENTY)
    assert [tier.family for tier in whole.known.tiers] == ([family] if family else [])
    assert (whole.known.sure, whole.known.why, bool(whole.known.notes)) == (False, "nothing left to learn", True)
    at_once = [len(part.at) for turn in whole.turns for part in turn.stimulus.segments if part.together]
    assert max(at_once) <= PLENTY.most_held


@dataclass
class Quotes(Net):
    """A limiter whose refusals hint the same each time, and whose answers quote a limit, whatever it does."""

    hint_s: float = 0.0
    quota: dict[str, float] = field(default_factory=dict)

    def _decide(self, arrived_at: float) -> tuple[bool, float, float | None]:
        accepted, delay_s, hint_s = super()._decide(arrived_at)
        return accepted, delay_s, hint_s if hint_s is None else self.hint_s

    def _ask(self, sent_at: float, segment: Segment, stream: int, leg_s: float | None = None) -> Answer:
        return replace(super()._ask(sent_at, segment, stream, leg_s), quota=self.quota)


@pytest.mark.parametrize("hint_s", [0.0, pytest.param(30.0, marks=pytest.mark.alone)])
@pytest.mark.parametrize("text", ["minimum-gap:1.7", pytest.param("fixed-window:3/3", marks=pytest.mark.alone)])
def test_answers_that_lie_are_findings_and_mislead_nobody(text: str, hint_s: float) -> None:
    known = through(Quotes(text, hint_s=hint_s, quota={"limit": 10.0, "window_s": 60.0}), NO_CAPS).known
    assert_right(text, known)
    assert known.sure
    retry_after, limit, window = known.findings
    assert (f" {hint_s:g}," in retry_after, " 10" in limit, " 60 s" in window) == (True, True, True)


def used(text: str, count: int) -> Net:
    """A limiter that somebody sent so many requests to in a moment, 0.3 s ago."""
    net = Net(text)
    for number in range(count):
        decide(net._limiter, net.began_at - 0.3 + number * 0.004)
    return net


@pytest.mark.alone
@pytest.mark.parametrize("count", [70, 6])
@pytest.mark.parametrize(
    "text",
    [
        *("fixed-window:14/2.962", "fixed-window:14/2.88,opens=clock", "sliding-log:11/2.691"),
        *("sliding-counter:9/3.6", "token-bucket:8/3.691,burst=12"),
    ],
)
def test_limiter_that_was_just_used_is_identified(text: str, count: int) -> None:
    whole = through(used(text, count), NO_CAPS)
    known = whole.known
    assert [turn.stimulus.stage for turn in whole.turns].count("rest, once more") <= 1
    judged = judge(text, known)
    assert (judged.family, judged.misled) == (True, False), known.text
    assert judged.exact or (count < 70 and not known.sure), known.text
    assert "block" not in known.text
    assert "empty" not in known.text


def test_gap_that_was_just_used_is_identified_with_a_note() -> None:
    whole = through(used("minimum-gap:0.7", 1), NO_CAPS)
    assert_right("minimum-gap:0.7", whole.known)
    assert (whole.answers[0].accepted, len(whole.known.notes)) == (False, 1)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "per_s", "seed", "most"),
    [
        ("sliding-log:11/2.691", 0.4, 3, 120),
        ("sliding-log:19/5.693", 0.33374, 105, 120),
        ("sliding-counter:20/6", 1 / 3, 3, 400),
    ],
)
def test_limiter_beside_others_is_identified_or_doubted(text: str, per_s: float, seed: int, most: int) -> None:
    terms = Terms(seed, True, most_requests=most, most_builds=most, most_s=600.0, caps=False)
    known = through(Net(text, seed=seed, foreign_per_s=per_s), terms).known
    right = known.families[0].family == text.partition(":")[0]
    exact = right and known.tiers[0].numbers["limit"].value == RateLimit.parse(text).limit
    assert right or (most > 120 and not known.sure)
    assert exact or not known.sure or most > 120


@pytest.mark.whole
def test_answers_that_others_caused_are_noted_and_their_share_is_estimated() -> None:
    known = through(Net("minimum-gap:0.7", foreign_per_s=0.1), replace(NO_CAPS, most_requests=40)).known
    assert not known.sure
    assert max(runner.probability for runner in known.families) <= 0.9
    share = known.others_share
    assert 0.0 < share.low < share.value < share.high < 0.5
    assert len(known.notes) == 1


def changed(before: str, at: float, after: str, terms: Terms = NO_CAPS) -> Played:
    """A probe of a limiter in whose place there is another one from then on."""
    return through(Net(before, seed=2, changes=((at, after),)), terms)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("before", "at", "after"),
    [("fixed-window:12/3", 4.0, "token-bucket:5/2"), ("sliding-counter:6/1", 1.5, "sliding-log:9/1.3")],
)
def test_limiter_that_is_changed_is_identified_anew(before: str, at: float, after: str) -> None:
    whole = changed(before, at, after)
    known = whole.known
    assert not known.sure  # other clients may be the cause as well
    assert_right(after, known)
    surprised_s, last_s = (float(second) for second in re.findall(r"second (\S+) ", known.notes[0])[:1] * 2)
    assert at < surprised_s + 0.2  # the stimulus may have begun before
    assert last_s <= surprised_s
    assert f"{before.partition('/')[0]}/" in known.notes[0] or before.startswith("sliding-counter")
    assert known.cost.requests == len(whole.answers)
    assert known.cost.refused == sum(not answer.accepted for answer in whole.answers)
    again = Probe(NO_CAPS)
    for turn in whole.turns:
        again.observe(turn.stimulus, turn.answers)
    assert again.known() == replace(known, why="")
    assert again.steps == whole.probe.steps


@pytest.mark.parametrize(
    ("text", "limit", "wrong_ones"),
    [
        ("sliding-log:21/4", 21, 2),
        *(
            pytest.param(*one, marks=pytest.mark.alone)
            for one in (("fixed-window:43/3", 43, 2), ("token-bucket:32/8", 32, 0))
        ),
    ],
)
def test_true_fields_save_requests_and_wrong_ones_mislead_nobody(text: str, limit: int, wrong_ones: int) -> None:
    true, wrong = (through(Net(text, seed=3, quotes=quotes), PLENTY).known for quotes in (1.0, 2.0))
    for known in (true, wrong):
        assert known.sure
        assert_right(text, known)
    assert true.cost.requests <= 2 * (limit + 5)
    assert (true.findings, len(wrong.findings)) == ((), wrong_ones)  # a rate may be quoted for any time


@pytest.mark.alone
@pytest.mark.parametrize("seed", range(1, 4))
def test_one_of_two_limiters_of_like_size_is_never_taken_for_both(seed: int) -> None:
    known = through(Net("fixed-window:8/2+token-bucket:3/1,burst=12", seed), PLENTY).known
    assert not known.sure or len(known.tiers) == 2


@pytest.mark.whole
def test_soak_finds_a_second_limit_of_hundreds() -> None:
    known = through(Net("10/1+200/60"), replace(PLENTY, soak=300, most_builds=1500, most_s=900.0)).known
    assert known.sure
    assert_right("10/1+200/60", known)
