"""Finds the evidence of a finding: the smallest part of a history in which its rule still reports it."""

from collections.abc import Iterable, Iterator

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.rules.history import History
from touchstone.rules.rule import Rule

MAX_TRIALS = 400  # applications of the rule for one finding


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
                rest = self._reduced([e for e in part if e is not self._last])
                return (*(e.seq for e in rest), self._last.seq)
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
            history.add(exchange)
            found += rule(exchange, history) if rule.about == "exchange" else ()  # type: ignore[arg-type]
        for ref in self._refs if rule.about == "story" else ():
            for view in history.views(ref):
                found += rule(ref, view)  # type: ignore[arg-type]
        return (((j.claim, j.evidence[-1]), j) for j in found if j.outcome == "broken")
