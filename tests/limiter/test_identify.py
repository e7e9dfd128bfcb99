"""One identification: the order of its stimuli, its budget, what it keeps of earlier sessions, what it finally says."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest

from tests.limiter.answers import at_once, bucket, given, most_accepted, number, row, window
from tests.limiter.judged import alike as decide_alike
from tests.limiter.played import NO_CAPS, PLENTY, READS, Played, played, rates_of, through
from tests.limiter.virtual import Net
from touchstone.facts.identity import Tier
from touchstone.facts.probe import Answer, Stimulus, Terms
from touchstone.limiter.identify import Probe, _misquoted, alike, short_period_test
from touchstone.limiter.rate_inference import Rates, Story
from touchstone.twin import RateLimit

GAP = "minimum-gap:0.7"
QUEUE = "leaky-bucket:10/1,burst=8,delay=3"
# Without a rate a probe computes next to nothing.
QUICK = {"none": READS, "concurrency:3,takes=0.2": PLENTY, "builds:4": PLENTY, QUEUE: PLENTY}


def each_rebuilt(whole: Played, cuts: Sequence[int]) -> Iterator[Probe]:
    """For each number of stimuli a probe that has received their answers and sent nothing."""
    growing, count = Probe(whole.probe.terms), 0
    for cut in cuts:
        for turn in whole.turns[count:cut]:
            growing.observe(turn.stimulus, turn.answers)
        count = cut
        yield deepcopy(growing)


def assert_goes_on_alike(whole: Played, cuts: range) -> None:
    """A rebuilt probe sends next what the uninterrupted one sent, and knows in the end what that one knows."""
    end = len(whole.turns)
    *begun, probe = each_rebuilt(whole, [*(cut for cut in cuts if cut < end), end])
    for cut, rebuilt in zip(cuts, begun, strict=False):
        assert rebuilt.propose(whole.turns[cut].begun_at) == whole.turns[cut].stimulus, cut
    assert probe.propose(whole.ended_at) is None
    assert probe.known() == whole.known
    assert probe.steps == whole.probe.steps


@pytest.mark.parametrize(
    ("text", "terms", "step"),
    [
        *((text, terms, 1) for text, terms in QUICK.items()),
        (GAP, NO_CAPS, 3),
        pytest.param("fixed-window:5/1+builds:3", PLENTY, 5, marks=pytest.mark.alone),
        pytest.param("token-bucket:4/2,burst=3", NO_CAPS, 5, marks=pytest.mark.alone),
    ],
)
def test_rebuilt_probe_goes_on_as_before(text: str, terms: Terms, step: int) -> None:
    whole = played(text, terms)
    assert_goes_on_alike(whole, range(min(2, step - 1), len(whole.turns), step))


@pytest.mark.parametrize("text", ["builds:4", GAP])
def test_resumed_probe_counts_on_no_build_of_before(text: str) -> None:
    whole = played(text, PLENTY)
    builds = [count for count, turn in enumerate(whole.turns) if turn.stimulus.stage == "builds"]
    cuts = range(builds[0], len(whole.turns))
    for cut, probe in zip(cuts, each_rebuilt(whole, cuts), strict=True):
        net = Net(text, now_at=whole.turns[cut].begun_at)
        probe.resume()
        pairs = [(turn.stimulus, turn.answers) for turn in whole.turns[:cut]]
        while (stimulus := probe.propose(net.now_at)) is not None:
            pairs.append((stimulus, net.send(stimulus)))
            probe.observe(*pairs[-1])
        assert [stimulus.anew for stimulus, _ in pairs[cut:]] == [True] + [False] * (len(pairs) - cut - 1)
        assert pairs[cut][0].frees == 0
        assert (probe.known().text, probe.known().sure) == (whole.known.text, True)
        again = Probe(PLENTY)
        for stimulus, answers in pairs:
            again.observe(stimulus, answers)
        assert again.propose(net.now_at) is None
        assert again.known() == probe.known()


@dataclass(frozen=True)
class Cut:
    """Sends only so many of the requests of one stimulus."""

    number: int
    count: int

    def __call__(self, number: int, net: Net, stimulus: Stimulus) -> list[Answer]:
        if number != self.number:
            return net.send(stimulus)
        return net.send(stimulus.within(self.count, self.count)) if self.count else []


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("text", ["builds:4", QUEUE])
def test_stimulus_that_was_cut_short_misleads_nobody(text: str, number: int, count: int) -> None:
    whole = through(Net(text), PLENTY, Cut(number, count))
    assert (whole.known.text, whole.known.sure) == (played(text, PLENTY).known.text, True)
    assert whole.known.uncapped_to == played(text, PLENTY).known.uncapped_to
    assert_goes_on_alike(whole, range(number, number + 2))


@pytest.mark.parametrize(
    ("text", "requests", "builds"),
    [
        ("none", 7, 100),
        ("none", 1000, 211),
        ("builds:4", 1000, 6),
        ("builds:4", 1000, 206),
        ("builds:4", 30, 1000),
        ("concurrency:3,takes=0.2", 1000, 207),
        ("leaky-bucket:10/1,burst=8", 1000, 30),
        ("leaky-bucket:10/1,burst=8", 27, 1000),
        (GAP, 1000, 3),
        pytest.param("token-bucket:20/1,burst=4,starts=empty", 1000, 3, marks=pytest.mark.alone),
    ],
)
def test_budget_holds_whatever_is_answered(text: str, requests: int, builds: int) -> None:
    whole = through(Net(text), Terms(seed=1, starts=True, most_requests=requests, most_builds=builds, most_s=600.0))
    for turn in whole.turns:
        assert 0 < turn.stimulus.most <= turn.requests_left, turn.stimulus.name
        assert most_accepted(turn.stimulus) <= turn.builds_left, turn.stimulus.name
    spent = whole.known.cost
    assert (spent.requests <= requests, spent.builds <= builds) == (True, True)
    assert whole.known.why in ("budget", "settled", "nothing left to learn")


@pytest.mark.parametrize("text", ["builds:4", "concurrency:3,takes=0.2"])
def test_cap_that_is_not_proven_is_not_sure(text: str) -> None:
    whole = played(text, PLENTY).known.cost
    unsure = 0
    for requests in range(whole.requests - 60, whole.requests):
        found = through(Net(text), replace(PLENTY, most_requests=requests)).known
        if found.cost.refused:
            assert found.text != "none" or not found.sure, requests
            unsure += not found.sure
    assert unsure


def test_soak_goes_on_until_so_many_were_accepted() -> None:
    whole = through(Net(GAP), replace(PLENTY, soak=40))
    assert whole.known.cost.builds >= 40
    stages = list(dict.fromkeys(turn.stimulus.stage for turn in whole.turns))
    assert stages == ["opening", "rate", "check", "builds", "soak"]
    assert through(Net(GAP), replace(NO_CAPS, soak=20, most_builds=15)).known.cost.builds == 15


def test_unlimited_target_is_not_sure_before_enough_requests() -> None:
    assert not through(Net("none"), replace(NO_CAPS, most_requests=30)).known.sure
    assert through(Net("none"), NO_CAPS).known.sure
    assert played("none", READS).known.cost.builds == 0


def test_each_step_has_the_probabilities_after_it() -> None:
    whole = played(GAP, NO_CAPS)
    steps = whole.probe.steps
    assert [step.name for step in steps] == [turn.stimulus.name for turn in whole.turns]
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    shares = [sum(step.families.values()) for step in steps if step.families]
    assert shares[:-1] == pytest.approx([0.99] * (len(shares) - 1), abs=0.011)  # until it is settled
    assert shares[-1] == pytest.approx(1)
    assert next(iter(steps[-1].families)) == "minimum-gap"


def probe_of(text: str = GAP, terms: Terms = PLENTY) -> Probe:
    """A probe that knows a rate, and nothing of caps."""
    probe = Probe(terms)
    probe._rates = rates_of(text)
    probe.story = probe._rates._story
    probe._answers = list(probe.story.answers)
    probe._opening.over = True
    return probe


def fixed(monkeypatch: pytest.MonkeyPatch, *, settled: bool, nearly: bool) -> None:
    """Has all rates be settled, or nearly so; call it after the rates were computed."""
    monkeypatch.setattr(Rates, "settled", property(lambda _: settled))
    monkeypatch.setattr(Rates, "nearly", property(lambda _: nearly))
    monkeypatch.setattr(Rates, "likely", property(lambda _: nearly))


def left_out(probe: Probe, stage: str, answers: list[Answer]) -> set[int]:
    """Which refusals are not the rate's, after a stage was answered this."""
    probe.observe(Stimulus(stage, (), stage=stage), answers)
    return probe.story.left_out


@pytest.mark.parametrize("proofs", [[row("-", 120.0)], [row("++++", 120.0), at_once("+++++", 130.0)]])
def test_refusals_of_a_cap_that_is_none_are_the_rates(
    monkeypatch: pytest.MonkeyPatch, proofs: list[list[Answer]]
) -> None:
    probe = probe_of()
    rethought: list[int] = []
    monkeypatch.setattr(Rates, "observe", lambda *_, **__: None)
    monkeypatch.setattr(Rates, "rethink", lambda _: rethought.append(1))
    first = len(probe.story.answers)
    of_builds = {first + 3}
    assert left_out(probe, "builds", row("+++-", 100.0)) == of_builds
    assert left_out(probe, "in flight", at_once("+++-", 110.0)) == {*of_builds, first + 7}
    assert rethought == []
    for answers in proofs:
        found = left_out(probe, "in flight", answers)
    assert (found, rethought) == (of_builds, [1])


@pytest.mark.parametrize(("left", "why"), [(2, "budget"), (400, "nothing left to learn")])
def test_probe_that_cannot_settle_says_why(monkeypatch: pytest.MonkeyPatch, left: int, why: str) -> None:
    probe = probe_of()
    probe.terms = replace(probe.terms, most_requests=len(probe._answers) + left)
    fixed(monkeypatch, settled=False, nearly=False)
    monkeypatch.setattr(Rates, "propose", lambda *_: None)
    assert probe.propose(100.0) is None
    assert probe.known().why == why


def stuck_probe(monkeypatch: pytest.MonkeyPatch, terms: Terms = PLENTY) -> Probe:
    """A probe without a stimulus left, whose rate is not known, and of which a start was accepted right away."""
    probe = probe_of(terms=replace(terms, most_requests=1000))
    probe._refilled = True
    fixed(monkeypatch, settled=False, nearly=False)
    monkeypatch.setattr(Rates, "propose", lambda *_: None)
    return probe


def test_everything_begins_anew_with_one_build_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, rebuilt = stuck_probe(monkeypatch), stuck_probe(monkeypatch)
    stimulus = given(probe.propose(100.0))
    (alone,) = stimulus.segments
    assert (len(alone.at), alone.beside == 0, alone.at[0] >= 101.0) == (1, True, True)
    for one in (probe, rebuilt):
        one.observe(stimulus, [])
        before = one._opening.capped
        one.observe(stimulus, row("+", 102.0))
        assert (before, one._opening.capped) == (False, True)
        assert (one._rates, len(one.story.answers)) == (None, 1)
        assert given(one.propose(103.0)).stage == "builds"


@pytest.mark.parametrize("disproved", [True, False])
def test_rate_is_looked_for_where_the_cap_on_builds_is_none(monkeypatch: pytest.MonkeyPatch, disproved: bool) -> None:
    counts: list[int] = []
    monkeypatch.setattr("touchstone.limiter.identify.Rates", lambda *_: counts.append(1))
    probe = Probe(PLENTY)
    probe.story.answers.extend(row("++-", 1.0))
    probe.story.left_out = {2}
    probe._opening.over = probe._opening.capped = probe._opening.refilled = True
    probe._held.disproved = disproved
    probe.observe(Stimulus("hold", (), stage="builds"), row("+-", 5.0))
    assert counts == [1] * disproved
    assert (probe._opening.capped, probe._refilled) == (not disproved, not disproved)
    assert probe.story.left_out == (set() if disproved else {2, 4})


def test_one_response_that_contradicts_the_result_is_noted() -> None:
    probe = probe_of(terms=NO_CAPS)
    assert probe.known().notes == ()
    rates = probe._rates
    assert rates is not None
    rates.odd = lambda _=None: rates._story.moments()[-1:]  # type: ignore[method-assign]
    (note,) = probe.known().notes
    assert "contradicts" in note


def test_new_search_after_a_refused_first_request_is_not_sure() -> None:
    probe = probe_of(terms=NO_CAPS)
    probe._past = [Story(row("+", 0.0))]
    probe._answers = row("-+", 0.0)
    assert not probe.known().sure


@pytest.mark.parametrize(("outcomes", "sure"), [("++++", False), ("+", True)])
def test_result_that_does_not_explain_what_came_before_is_not_sure(outcomes: str, sure: bool) -> None:
    probe = probe_of(terms=NO_CAPS)
    assert probe.known().sure
    probe._past = [Story(row(outcomes, 0.0))]
    assert probe.known().sure is sure


@pytest.mark.parametrize(
    ("numbers", "refill_s", "needed"),
    [
        pytest.param({"limit": 4, "window_s": 1.0}, 1.0, 20, id="window"),
        pytest.param({"limit": 30, "window_s": 2.0}, 2.0, 61, id="many"),
        pytest.param({"burst": 3, "rate_per_s": 2.0}, 1.5, 15, id="bucket"),
        pytest.param({"gap_s": 1.0}, 1.0, 5, id="gap"),
        pytest.param({"limit": 4, "window_s": 2.1}, 1.0, 0, id="counts-for-longer"),
        pytest.param({"limit": 4, "window_s": 1.0}, 2.1, 0, id="is-shut-for-longer"),
    ],
)
def test_rate_of_a_moment_is_spent_several_times(numbers: dict[str, float], refill_s: float, needed: int) -> None:
    tier = Tier("family", "text", {name: number(value) for name, value in numbers.items()})
    assert short_period_test([tier], refill_s) == needed
    assert short_period_test([tier, tier], refill_s) == 0


GAP_TIER = Tier("minimum-gap", GAP, {"gap_s": number(0.7)})


@pytest.mark.parametrize(
    ("tier", "count"),
    [
        (GAP_TIER, 4),
        (bucket("token-bucket:3/2", 3, 1.5), 1),
        (bucket("token-bucket:2/1,burst=8", 8, 2.0), 1),
        (bucket("token-bucket:3/2,starts=empty", 3, 1.5, {"starts": "empty"}), 0),
        (bucket("token-bucket:3/2,tick=1", 3, 1.5, {"tick": "1"}), 0),
        (window(3.0, number(1.0)), 0),
        (Tier("builds", "builds:4", {"limit": number(4.0)}), 0),
    ],
    ids=lambda value: getattr(value, "text", ""),
)
def test_limiters_that_no_request_can_distinguish_are_listed(tier: Tier, count: int) -> None:
    others = alike(tier)
    assert (len(others), tier.text in others) == (count, False)
    for other in others:
        assert decide_alike(RateLimit.parse(tier.text), RateLimit.parse(other)), other


@pytest.mark.parametrize(
    ("tier", "limit", "window_s", "count"),
    [
        (bucket("token-bucket:4/2,burst=3", 3, 2.0), 3.0, None, 0),
        (bucket("token-bucket:4/2,burst=3", 3, 2.0), 120.0, 60.0, 0),
        (bucket("token-bucket:4/2,burst=3", 3, 2.0), 4.0, 60.0, 2),
        (GAP_TIER, 1.0, 1.0, 0),
        (GAP_TIER, None, 10.0, 1),
        (window(3.0, number(1.0)), 180.0, 60.0, 2),
        (window(3.0, number(1.0)), 3.0, 1.9, 0),
    ],
)
def test_field_that_disagrees_with_a_limiter_is_misquoted(
    tier: Tier, limit: float | None, window_s: float | None, count: int
) -> None:
    assert len(list(_misquoted(tier, limit, window_s))) == count
