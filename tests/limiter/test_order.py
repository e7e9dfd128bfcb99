"""
In which order a probe asks: what is found out besides tells of the limit too, so it comes before the last filling.
"""

from dataclasses import replace

import pytest

from tests.limiter.answers import at_once, row
from tests.limiter.played import NO_CAPS, PLENTY, played, rates_of, through
from tests.limiter.virtual import Net
from touchstone.facts.observed import Answer
from touchstone.facts.stimulus import Stimulus
from touchstone.limiter.identify import Probe
from touchstone.limiter.rate_inference import Chapter, Rates
from touchstone.limiter.terms import Terms
from touchstone.twin import RateLimit


def probe_of(text: str) -> Probe:
    """A probe that knows a rate, and nothing of caps."""
    probe = Probe(PLENTY)
    probe._rates = rates_of(text)
    probe.story = probe._rates._story
    probe._answers = list(probe.story.answers)
    probe._opening.over = True
    return probe


@pytest.mark.alone
@pytest.mark.parametrize(("nearly", "stage"), [(True, "builds"), (False, "rate")])
def test_caps_are_looked_for_when_a_limit_is_nearly_known(
    monkeypatch: pytest.MonkeyPatch, nearly: bool, stage: str
) -> None:
    """Before it is filled once more; where more than that is not known, that comes first."""
    probe = probe_of("fixed-window:3/1")
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "nearly", property(lambda _: nearly))
    stimulus = probe.ask(100.0)
    assert stimulus is not None
    assert stimulus.stage == stage


@pytest.mark.parametrize(
    ("others", "certain", "all_but_limit", "nearly"),
    [(0.05, 0.95, True, True), (0.2, 0.95, True, False), (0.05, 0.8, True, False), (0.05, 0.95, False, False)],
)
def test_limit_is_nearly_known_where_only_one_more_filling_is_missing(
    monkeypatch: pytest.MonkeyPatch, others: float, certain: float, all_but_limit: bool, nearly: bool
) -> None:
    """Nobody else takes a part, it is likely, and all else is known."""
    rates = rates_of("fixed-window:3/1")
    monkeypatch.setattr(type(rates.belief), "others", lambda _: others)
    monkeypatch.setattr(Rates, "_all_but_limit", property(lambda _: all_but_limit))
    monkeypatch.setattr("touchstone.limiter.rate_inference.best_limit", lambda _: (3.0, certain))
    assert rates.nearly is nearly


@pytest.mark.parametrize(
    ("outcomes", "left_out", "count"),
    [
        pytest.param("++++-+++++++-", set(), 4, id="two-windows-in-a-row-are-no-burst"),
        pytest.param("-+++-", set(), 3, id="empty-at-first"),
        pytest.param("++-++-", {2}, 4, id="refused-by-a-cap"),
        pytest.param("--", set(), 1, id="none"),
    ],
)
def test_first_burst_ends_with_the_first_refusal_of_the_rate(outcomes: str, left_out: set[int], count: int) -> None:
    probe = Probe(PLENTY)
    probe.story.answers.extend(row(outcomes))
    probe.story.left_out |= left_out
    probe._look_for_rate()
    assert probe._rates
    assert probe._rates.belief.accepted == count


def told(probe: Probe, stage: str, answers: list[Answer]) -> set[int]:
    """Which refusals are not the rate's, after a stage was answered this."""
    probe.hear(Stimulus(stage, (), stage=stage), answers)
    return probe.story.left_out


@pytest.mark.alone
@pytest.mark.parametrize("shown", [[row("-", 120.0)], [row("++++", 120.0), at_once("+++++", 130.0)]])
def test_refusals_of_a_cap_that_is_none_are_the_rates(shown: list[list[Answer]]) -> None:
    """Those of requests under way go back to the rate; those of a cap on builds stay where they are."""
    probe = probe_of("fixed-window:8/2")
    first = len(probe.story.answers)
    of_builds = {first + 3}
    assert told(probe, "builds", row("+++-", 100.0)) == of_builds
    assert told(probe, "in flight", at_once("+++-", 110.0)) == {*of_builds, first + 7}
    for answers in shown:
        left_out = told(probe, "in flight", answers)
    assert left_out == of_builds


@pytest.mark.alone
def test_what_a_cap_that_is_none_refused_may_be_a_surprise() -> None:
    """What was thought to be known of the rate until then is doubted."""
    probe = probe_of("fixed-window:8/2")
    assert probe._rates is not None
    assert not probe._rates.doubtful
    told(probe, "in flight", at_once("+++-", 110.0))
    assert not probe._rates.doubtful
    told(probe, "in flight", row("-", 120.0))
    assert not probe._rates.settled


@pytest.mark.parametrize(("left", "why"), [(4, "budget"), (400, "nothing left to learn")])
def test_probe_that_cannot_fill_the_limiter_once_more_says_why(
    monkeypatch: pytest.MonkeyPatch, left: int, why: str
) -> None:
    """Its budget does not last, or there is nothing left to ask."""
    probe = probe_of("fixed-window:3/1")
    probe.terms = replace(probe.terms, most_requests=len(probe._answers) + left)
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "nearly", property(lambda _: False))
    monkeypatch.setattr(Rates, "ask", lambda *_: None)
    assert probe.ask(100.0) is None
    assert probe.known().why == why


def stuck_probe(monkeypatch: pytest.MonkeyPatch, terms: Terms = PLENTY) -> Probe:
    """
    A probe that has nothing left to ask of a rate that it does not know, and of which a start was let through at once.
    """
    probe = probe_of("fixed-window:3/1")
    probe.terms = replace(terms, most_requests=1000)
    probe._refilled = True
    monkeypatch.setattr(Rates, "settled", property(lambda _: False))
    monkeypatch.setattr(Rates, "nearly", property(lambda _: False))
    monkeypatch.setattr(Rates, "ask", lambda *_: None)
    return probe


def test_builds_in_flight_may_have_been_what_no_rate_explains(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    All begins once more after a rest, with one build at a time; also where a probe is rebuilt, and asks nothing itself.
    """
    probe, rebuilt = stuck_probe(monkeypatch), stuck_probe(monkeypatch)
    stimulus = probe.ask(100.0)
    assert stimulus is not None
    (alone,) = stimulus.segments
    assert (len(alone.at), alone.alone) == (1, True)
    assert alone.at[0] >= 101.5
    for one in (probe, rebuilt):
        one.hear(stimulus, [])
        assert not one._opening.capped
        one.hear(stimulus, row("+", 102.0))
        assert one._opening.capped
        assert (one._rates, len(one.story.answers)) == (None, 1)
        burst = one.ask(103.0)
        assert burst is not None
        assert (burst.name, burst.segments[0].alone) == ("burst", True)


@pytest.mark.parametrize("alone", [False, True])
def test_what_did_not_fit_may_have_been_builds_where_one_alone_is_what_fits(alone: bool) -> None:
    """The first attempt is told with all that may have been in its way."""
    probe = probe_of("fixed-window:3/1")
    probe._before, probe._alone = [Chapter((), 0.97, 13.0, 14.5)], alone
    (said,) = probe.known().notes
    assert "the limiter was changed, or somebody else uses the key" in said
    assert ("builds in flight may have been why" in said) == alone


@pytest.mark.parametrize(
    ("refilled", "alone", "terms"),
    [
        pytest.param(False, False, PLENTY, id="nothing-came-back-at-once"),
        pytest.param(True, True, PLENTY, id="it-began-once-more-already"),
        pytest.param(True, False, replace(PLENTY, starts=False), id="reads"),
        pytest.param(True, False, NO_CAPS, id="no-caps"),
    ],
)
def test_it_begins_once_more_only_where_builds_may_be_why(
    monkeypatch: pytest.MonkeyPatch, refilled: bool, alone: bool, terms: Terms
) -> None:
    """Else there is nothing left to learn."""
    probe = stuck_probe(monkeypatch, terms)
    probe._refilled, probe._alone = refilled, alone
    assert probe.ask(100.0) is None


@pytest.mark.parametrize("disproved", [True, False])
def test_rate_is_looked_for_where_a_cap_of_builds_one_at_a_time_is_none(disproved: bool) -> None:
    """All that was refused is the rate's then."""
    probe = Probe(PLENTY)
    probe.story.answers.extend(row("++-", 1.0))
    probe.story.left_out = {2}
    probe._opening.over = probe._opening.capped = probe._opening.refilled = True
    probe._held.disproved = disproved
    probe.hear(Stimulus("hold", (), stage="builds"), row("+-", 5.0))
    assert (probe._rates is not None) is disproved
    assert probe._opening.capped is not disproved
    assert probe._refilled is not disproved  # nor does it begin once more with one at a time
    assert probe.story.left_out == (set() if disproved else {2, 4})


@pytest.mark.alone
@pytest.mark.parametrize("settled", [False, True])
def test_caps_are_looked_for_when_what_they_let_through_counts(monkeypatch: pytest.MonkeyPatch, settled: bool) -> None:
    """From where a limit that has to be met once more is to be filled; at once where it has not."""
    probe = probe_of("sliding-counter:16/1")
    assert probe._rates is not None
    first_at = next(moment.at for moment in probe.story.moments() if not moment.accepted)
    monkeypatch.setattr(Rates, "settled", property(lambda _: settled))
    monkeypatch.setattr(Rates, "nearly", property(lambda _: True))
    monkeypatch.setattr(Rates, "room", lambda *_: (16, 0.0))
    stimulus = probe.ask(first_at)
    assert stimulus is not None
    assert stimulus.stage == "builds"
    assert stimulus.segments[0].at[0] - first_at == pytest.approx(0.0 if settled else 2.05, rel=0.02)


@pytest.mark.parametrize("stage", ["soak", "builds", "in flight"])
def test_what_is_let_through_while_caps_are_looked_for_counts_as_spent(stage: str) -> None:
    """A second limit would have shown then as well."""
    probe = probe_of("fixed-window:3/1")
    probe.hear(Stimulus(stage, (), stage=stage), row("++", 100.0))
    assert probe._soaked == 2
    probe.hear(Stimulus("drain", ()), row("+", 101.0))
    assert probe._soaked == 2


@pytest.mark.alone
@pytest.mark.parametrize(
    ("text", "seed"),
    [
        pytest.param("sliding-log:9/0.651+fixed-window:37/11.443", 904, id="met-by-builds-that-are-held"),
        pytest.param("sliding-log:10/0.503+fixed-window:43/8.431", 925, id="met-after-others-were-thought-of"),
    ],
)
def test_second_limit_that_is_met_while_caps_are_looked_for_is_found(text: str, seed: int) -> None:
    """What it refused is no cap's, and another limit behind the one that is known explains it."""
    found = through(Net(text, seed=seed), replace(PLENTY, seed=seed)).known
    limits = [tier.numbers["limit"].value for tier in found.tiers]
    assert ([tier.family for tier in found.tiers], limits) == (["sliding-log", "fixed-window"], numbers(text))


def numbers(text: str) -> list[int]:
    """The limits of a text."""
    return [tier.limit for tier in RateLimit.parse(text).tiers]


@pytest.mark.alone
def test_turns_are_told_apart() -> None:
    """
    Every stimulus is heard by the part that asked for it, and the rate is looked for before the caps, and spent after.
    """
    turns = played("fixed-window:5/1+builds:3", replace(PLENTY, soak=90)).turns
    stages = [turn.stimulus.stage for turn in turns]
    order = ["opening", "rate", "builds", "in flight", "soak"]
    assert stages == sorted(stages, key=order.index)
    assert set(stages) == set(order)
