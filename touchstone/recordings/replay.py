"""Judges recordings offline, each by itself.

A foreign file (a HAR file of another tool) shows only some requests of an account: other clients may use its key. So a
response that contradicts earlier responses is no finding there. A response that is wrong by itself is a finding.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.recordings.foreign import OWNERS
from touchstone.recordings.recording import Given, Recording
from touchstone.rules import catalogue
from touchstone.rules.history import Bounds, Content
from touchstone.rules.judge import Judge, by_all_rules

# The rule room.free is right only if it sees every start of the account.
_OF_ONE_ANSWER = frozenset(rule.id for rule in catalogue.EXCHANGE_RULES) - {"room.free"}
# Claims that a single exchange can break, although their rules judge all exchanges of a version together: a publish
# reports its auto-build, and no event is newer than the response that contains it.
_IN_ONE_EXCHANGE = frozenset(
    {"publish.auto-build-starts", "publish.auto-build-only-when-asked", "events.timestamps-are-true"}
)
# Other requests cannot explain this violation: a start that returns ready reuses a snapshot in any case.
_ALWAYS = frozenset({"reuse.is-flagged"})


def alone(recording: Recording) -> tuple[tuple[Judgement, ...], tuple[Finding, ...], Mapping[str, str]]:
    """Judges the exchanges of a recording in the order of their ends: judgements, findings, and errors by rule."""
    judge = judge_of(recording)
    by_end = sorted(recording.exchanges, key=lambda exchange: exchange.done_at)
    judgements = [judgement for exchange in by_end for judgement in judge.add(exchange)]
    judgements += judge.conclude(dict.fromkeys(exchange.ref for exchange in recording.exchanges if exchange.ref))
    if recording.origin != "touchstone":
        judgements = [doubted(judgement, judge) for judgement in judgements]
    findings = tuple(judge.finding(one) for one in judgements if one.outcome == "broken")
    return tuple(judgements), findings, judge.failed


def judge_of(recording: Recording) -> Judge:
    """A judge that knows the versions and the time limits in the terms of a recording."""
    bounds = Bounds(recording.terms.build_timeout_s, recording.terms.cancel_timeout_s)
    return by_all_rules(bounds, given_of(recording))


def given_of(recording: Recording) -> dict[str, Content]:
    """The versions that existed before the recording, in the form that rules use."""
    return {one.ref: content_of(one) for one in recording.terms.given}


def content_of(given: Given) -> Content:
    """A version that existed before the recording, in the form that rules use."""
    before = float("-inf")
    return Content(given.ref, given.owner, f"given:{given.ref}", given.outcome, 0.0, "", 0, before, before)


def doubted(judgement: Judgement, judge: Judge) -> Judgement:
    """Turns *broken* into *indeterminate* if unrecorded requests may explain it; returns other judgements unchanged."""
    if judgement.outcome != "broken" or judgement.check in _OF_ONE_ANSWER or judgement.claim in _ALWAYS:
        return judgement
    if judgement.claim in _IN_ONE_EXCHANGE and len(judgement.evidence) == 1:
        return judgement
    if _is_wrong_in_any_state(judgement, judge):
        return judgement
    why = f"requests outside the recording may explain it: {judgement.actual}"
    return replace(judgement, outcome="indeterminate", expected="", actual=why)


def _is_wrong_in_any_state(judgement: Judgement, judge: Judge) -> bool:
    """Whether no state of the version allows the deciding response: neither with such a version nor without one."""
    exchange = judge.by_seq[judgement.evidence[-1]]
    owner = OWNERS.get(exchange.credential)
    if exchange.ref is None or owner is None:
        return False
    with_one = _broken_alone(exchange, {exchange.ref: content_of(Given(exchange.ref, owner))}, judge)
    return judgement.claim in with_one and bool(_broken_alone(exchange, {}, judge))


def _broken_alone(exchange: Exchange, given: Mapping[str, Content], judge: Judge) -> set[str]:
    """The claims that an exchange breaks if nothing else is known than *given*."""
    other = by_all_rules(judge.history.bounds, given)
    judgements = [*other.add(exchange), *other.conclude([exchange.ref or ""])]
    return {each.claim for each in judgements if each.outcome == "broken"}


def evidence_of(recording: Recording) -> dict[int, tuple[str, ...]]:
    """Claims that held, by *seq* of the exchange that decided; equal requests that overlap get the claims of both."""
    found: dict[int, set[str]] = defaultdict(set)
    for judgement in alone(recording)[0]:
        if judgement.outcome == "held":
            found[judgement.evidence[-1]].add(judgement.claim)
    together = {
        one.seq: [e.seq for e in recording.exchanges if e is one or (e.overlaps(one) and e.request == one.request)]
        for one in recording.exchanges
    }
    return {seq: tuple(sorted(set().union(*(found[other] for other in group)))) for seq, group in together.items()}
