"""Applies all rules to a growing history and hands out each judgement once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain

from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.claims import Ledger
from touchstone.contract.document import Contract
from touchstone.facts.curl import curl
from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Finding, Judgement, finding_id
from touchstone.facts.key_sources import USUAL, KeySources
from touchstone.rules import catalogue
from touchstone.rules.history import Bounds, Content, History
from touchstone.rules.rule import Rule, Subject


@dataclass(eq=False)
class Judge:
    """The rules, the history that they read, and what they have said already."""

    history: History
    ledger: Ledger
    exchange_rules: Sequence[Rule[Exchange]]
    story_rules: Sequence[Rule[str]]
    sources: KeySources = USUAL
    failed: dict[str, str] = field(default_factory=dict)  # The first error of each rule that failed, by its id.
    _given: set[tuple[str, str, str, tuple[int, ...]]] = field(default_factory=set)
    _by_seq: dict[int, Exchange] = field(default_factory=dict)

    def see(self, exchange: Exchange) -> list[Judgement]:
        """Adds *exchange* to the history and judges it by itself."""
        self.history.add(exchange)
        self._by_seq[exchange.seq] = exchange
        return self._new(
            j for rule in self.exchange_rules for j in judgements_of(rule, exchange, self.history, self.failed)
        )

    def tell(self, refs: Iterable[str]) -> list[Judgement]:
        """Judges the whole stories of *refs*; what an earlier call said already is left out."""
        views = [(ref, view) for ref in refs for view in self.history.views(ref)]
        judgements = (judgements_of(rule, ref, view, self.failed) for ref, view in views for rule in self.story_rules)
        return self._new(chain.from_iterable(judgements))

    def finding(self, judgement: Judgement) -> Finding:
        """The finding that a broken judgement becomes."""
        return finding_of(judgement, self._by_seq[judgement.evidence[-1]], self.ledger, self.sources)

    def accused(self, judgements: Iterable[Judgement]) -> set[str]:
        """The versions that the findings among *judgements* are about."""
        return {self._by_seq[seq].ref or "" for j in judgements if j.outcome == "broken" for seq in j.evidence}

    def _new(self, judgements: Iterable[Judgement]) -> list[Judgement]:
        fresh: dict[tuple[str, str, str, tuple[int, ...]], Judgement] = {}
        for j in judgements:
            key = j.claim, j.check, j.outcome, j.evidence
            if key not in self._given:
                fresh.setdefault(key, j)
        self._given.update(fresh)
        return list(fresh.values())


def judgements_of(rule: Rule[Subject], subject: Subject, history: History, failed: dict[str, str]) -> list[Judgement]:
    """What one rule says; *failed* takes, by rule, the first error of one that fails, and the others still speak."""
    try:
        return list(rule(subject, history))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the other rules their say
        failed.setdefault(rule.id, f"{type(error).__name__}: {error}")
        return []


def finding_of(judgement: Judgement, exchange: Exchange, ledger: Ledger, sources: KeySources = USUAL) -> Finding:
    """The finding that a broken judgement becomes; *exchange* is the last of its evidence."""
    return finding_at(judgement, ledger, f"{exchange.request.method} {exchange.request.url}", curl(exchange, sources))


def finding_at(judgement: Judgement, ledger: Ledger, where: str, command: str) -> Finding:
    """The finding that a broken judgement becomes which was made at *where*, and which *command* shows again."""
    values = asdict(judgement)
    del values["outcome"]
    known_as = finding_id(judgement.claim, judgement.operation, judgement.check, judgement.expected)
    return Finding(id=known_as, level=ledger[judgement.claim].level, where=where, curl=command, **values)


def by_all_rules(bounds: Bounds, given: Mapping[str, Content], sources: KeySources = USUAL) -> Judge:
    """A judge who knows the contract and every rule, and has seen nothing yet."""
    history = History(Contract.load(), bounds, given=given)
    return Judge(history, ledger_of_claims.load(), catalogue.EXCHANGE_RULES, catalogue.STORY_RULES, sources)
