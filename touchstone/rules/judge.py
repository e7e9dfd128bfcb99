"""Applies all rules to a growing history, returns each judgement once, and finds the evidence of each finding."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.facts.curl import curl
from touchstone.facts.exchange import EXPIRED, Exchange
from touchstone.facts.finding import Finding, Judgement
from touchstone.facts.key_sources import USUAL, KeySources
from touchstone.rules import catalogue
from touchstone.rules.history import Bounds, Content, History
from touchstone.rules.rule import Rule, Subject

MAX_TRIALS = 400  # applications of the rule for one finding


@dataclass(eq=False)
class Judge:
    """The rules, their history, and the judgements returned so far."""

    history: History
    ledger: Ledger
    exchange_rules: Sequence[Rule[Exchange]]
    story_rules: Sequence[Rule[str]]
    sources: KeySources = USUAL
    failed: dict[str, str] = field(default_factory=dict)  # first error of each rule that raised one, by rule id
    _judged: set[tuple[str, str, str, tuple[int, ...]]] = field(default_factory=set)
    by_seq: dict[int, Exchange] = field(default_factory=dict)
    # smallest evidence of one or two judgements of each finding, by finding id and by the judgement's own evidence
    _evidence: dict[str, dict[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    def add(self, exchange: Exchange) -> list[Judgement]:
        """Adds *exchange* to the history and applies the exchange rules to it; returns new judgements only."""
        if EXPIRED in exchange.note:
            return []
        exchange = self.history.add(exchange)
        self.by_seq[exchange.seq] = exchange
        judgements = (judgements_of(rule, exchange, self.history, self.failed) for rule in self.exchange_rules)
        return self._new(chain.from_iterable(judgements))

    def conclude(self, refs: Iterable[str]) -> list[Judgement]:
        """Applies the version rules (`story_rule`) to *refs*; returns new judgements only."""
        views = [(ref, view) for ref in refs for view in self.history.views(ref)]
        judgements = (judgements_of(rule, ref, view, self.failed) for ref, view in views for rule in self.story_rules)
        return self._new(chain.from_iterable(judgements))

    def finding(self, judgement: Judgement) -> Finding:
        """Returns the finding for a broken judgement. The first ones with an id have the smallest evidence."""
        finding = finding_of(judgement, self.by_seq[judgement.evidence[-1]], self.ledger, self.sources)
        if len(self._evidence.setdefault(finding.id, {})) < 2:  # a search takes some time
            self._search(judgement)
        return replace(finding, evidence=self._evidence[finding.id].get(judgement.evidence, judgement.evidence))

    def accused(self, judgements: Iterable[Judgement]) -> set[str]:
        """Returns the versions that appear in the evidence of broken judgements."""
        return {self.by_seq[seq].ref or "" for j in judgements if j.outcome == "broken" for seq in j.evidence}

    def _new(self, judgements: Iterable[Judgement]) -> list[Judgement]:
        fresh: dict[tuple[str, str, str, tuple[int, ...]], Judgement] = {}
        for j in judgements:
            key = j.claim, j.check, j.outcome, j.evidence
            if key not in self._judged:
                fresh.setdefault(key, j)
        self._judged.update(fresh)
        for j in fresh.values():
            if j.outcome == "broken" and j.finding_id not in self._evidence:
                self._search(j)
        return list(fresh.values())

    def _search(self, j: Judgement) -> None:
        """Searches for the smallest evidence of a broken judgement, unless it is known."""
        known = self._evidence.setdefault(j.finding_id, {})
        if j.evidence not in known:
            rules = (r for r in chain[Rule[Any]](self.exchange_rules, self.story_rules) if r.id == j.check)
            known[j.evidence] = next((Search(j, r, self.history).smallest() for r in rules), j.evidence)


class Search:
    """Search for the evidence of a broken *judgement* by *rule*. *history*: the exchanges that the rule knew."""

    def __init__(self, judgement: Judgement, rule: Rule[Exchange] | Rule[str], history: History) -> None:
        self._judgement, self._rule, self._history = judgement, rule, history
        self._own = [e for e in history.exchanges if e.seq in judgement.evidence]
        self._last = next(e for e in self._own if e.seq == judgement.evidence[-1])
        self._trials = 0
        self._refs = {e.ref for e in self._own if e.ref}
        # A part that lacks the explanation of another answer is no evidence: the rule would report that answer, too.
        self._allowed = {key for key, _ in self._broken(history)}
        if rule.about == "story" and (judgement.claim, self._last.seq) not in self._allowed:
            # The rule reports it about another version of the case.
            self._refs |= {e.ref for e in history.exchanges if e.ref and e.case == self._last.case}
            self._allowed = {key for key, _ in self._broken(history)}

    def smallest(self) -> tuple[int, ...]:
        """Returns ``seq`` of exchanges that suffice for the finding, in the order of sending, the deciding one last.

        Without one of them, the rule does not report the finding any more. If the search takes too many trials, the
        result may be larger. If no part of the history suffices, the result is the judgement's own evidence.
        """
        for part in self._parts():
            if self.suffices(part):
                kept = [*self._reduced([e for e in part if e is not self._last]), self._last]
                stored = {e.note["stored"] for e in kept if e.note.get("stored")}  # without it, a 304 says nothing
                return (*sorted(stored - {e.seq for e in kept}), *(e.seq for e in kept))
        return self._judgement.evidence

    def suffices(self, part: Iterable[Exchange]) -> bool:
        """Whether the rule reports the finding, and no other one, if it knows nothing but *part*."""
        self._trials += 1
        if self._trials > MAX_TRIALS:
            return False
        known = self._history
        try:
            found = dict(self._broken(History(known.contract, known.bounds, given=known.given), part))
        except Exception:  # noqa: BLE001 - a rule that fails on a part reports nothing
            return False
        same, own = found.get((self._judgement.claim, self._last.seq)), self._judgement
        if same is None or (same.operation, same.expected) != (own.operation, own.expected):
            return False
        return self._rule.about == "exchange" or found.keys() <= self._allowed

    def _parts(self) -> Iterator[list[Exchange]]:
        """Yields parts of the history that may suffice, from small to large."""
        until = [e for e in self._history.exchanges if e.sent_at <= self._last.done_at]
        yield self._own
        yield [e for e in until if e in self._own or (e.ref in self._refs and e.operation == "publishTemplate")]
        yield [e for e in until if e in self._own or e.ref in self._refs]
        yield [e for e in until if e.case == self._last.case or e.ref in self._refs]
        yield until
        yield self._history.exchanges

    def _reduced(self, rest: list[Exchange]) -> list[Exchange]:
        """Removes exchanges, first large groups and then single ones, as long as the others suffice."""
        size = max(1, len(rest) // 2)
        while rest:
            before, start = len(rest), 0
            while start < len(rest):
                fewer = rest[:start] + rest[start + size :]
                if self.suffices([*fewer, self._last]):
                    rest = fewer
                else:
                    start += size
            if size == 1 and len(rest) == before:
                break
            size = max(1, size // 2)
        return rest

    def _broken(self, history: History, part: Iterable[Exchange] = ()) -> Iterator[tuple[tuple[str, int], Judgement]]:
        """Yields what the rule finds broken in *history* after *part* was added, by claim and deciding exchange."""
        rule, found = self._rule, list[Judgement]()
        for exchange in sorted(part, key=lambda e: (e.done_at, e.seq)):
            exchange = history.add(exchange)  # noqa: PLW2901 - as rules judge it
            found += rule(exchange, history) if rule.about == "exchange" else ()  # type: ignore[arg-type]
        for ref in self._refs if rule.about == "story" else ():
            for view in history.views(ref):
                found += rule(ref, view)  # type: ignore[arg-type]
        return (((j.claim, j.evidence[-1]), j) for j in found if j.outcome == "broken")


def judgements_of(rule: Rule[Subject], subject: Subject, history: History, failed: dict[str, str]) -> list[Judgement]:
    """Returns the judgements of one rule; none if the rule raises. *failed* keeps the first error of each rule."""
    try:
        return list(rule(subject, history))
    except Exception as error:  # noqa: BLE001 - the other rules must still run
        failed.setdefault(rule.id, f"{type(error).__name__}: {error}")
        return []


def finding_of(judgement: Judgement, exchange: Exchange, ledger: Ledger, sources: KeySources = USUAL) -> Finding:
    """Returns the finding for a broken judgement; *exchange* is its last evidence."""
    return finding_at(judgement, ledger, f"{exchange.request.method} {exchange.request.url}", curl(exchange, sources))


def finding_at(judgement: Judgement, ledger: Ledger, where: str, command: str) -> Finding:
    """Returns the finding for a broken judgement, with its place *where* and the *command* that repeats it."""
    values = asdict(judgement)
    del values["outcome"]
    return Finding(id=judgement.finding_id, level=ledger[judgement.claim].level, where=where, curl=command, **values)


def by_all_rules(bounds: Bounds, given: Mapping[str, Content], sources: KeySources = USUAL) -> Judge:
    """Creates a judge with the bundled contract, all rules and an empty history."""
    history = History(Contract.load(), bounds, given=given)
    return Judge(history, ledger_of_claims.load(), catalogue.EXCHANGE_RULES, catalogue.STORY_RULES, sources)


def suffices(finding: Finding, exchanges: Iterable[Exchange], bounds: Bounds, given: Mapping[str, Content]) -> bool:
    """Whether the rules report the same finding if they know nothing but *exchanges*."""
    judge, in_time = by_all_rules(bounds, given), sorted(exchanges, key=lambda e: (e.done_at, e.seq))
    judgements = [j for e in in_time for j in judge.add(e)]
    judgements += judge.conclude(dict.fromkeys(e.ref for e in in_time if e.ref))
    return finding.id in {j.finding_id for j in judgements if j.outcome == "broken"}
