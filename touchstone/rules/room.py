"""Judges that a start is served once nothing can be in its way any more."""

from collections.abc import Iterator
from itertools import pairwise

from touchstone.facts.exchange import Exchange
from touchstone.facts.finding import Judgement
from touchstone.facts.patience import FIRST_WAIT_S, retry_after_s
from touchstone.rules.answers import told
from touchstone.rules.course import may_have_acted
from touchstone.rules.history import History
from touchstone.rules.rounds import gap_s
from touchstone.rules.rule import Rule, broken, rule

_CLAIM = "limit.ends-after-back-off"
# So many waits in a row: one may have met what somebody else does on the host.
_IN_VAIN = 2


@rule("room.free", _CLAIM)
def room_is_free(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges a start that is refused after waits as documented, and after all builds of the run must be over.

    No start was served, to whatever key, for as long as a build and its cancel may take at most: what still keeps the
    room, or counts as a start, is nothing that the run has left there.
    """
    if exchange.operation != "startBuild" or exchange.status != 429:
        return
    longest_s = history.bounds.build_timeout_s + history.bounds.cancel_timeout_s
    before = [e for e in history.exchanges if _starts(e) and e.seq != exchange.seq and e.done_at <= exchange.sent_at]
    recent = [e for e in before if e.done_at > exchange.sent_at - longest_s]
    own = [e for e in recent if e.credential == exchange.credential]
    if len(recent) == len(before) or not own or any(may_have_acted(e) for e in recent):
        return
    refused = [*own[-_IN_VAIN:], exchange]
    if len(refused) > _IN_VAIN and all(_backed_off(one, other) for one, other in pairwise(refused)):
        expected = f"a start served, as none was for {longest_s:g} s"
        yield broken(_CLAIM, *refused, expected=expected, actual=told(exchange))


def _backed_off(refusal: Exchange, retry: Exchange) -> bool:
    """Whether a retry came after the wait that the refusal asked for, or that the documentation asks for at least."""
    asked_s = retry_after_s(refusal.response)
    return refusal.status == 429 and gap_s(refusal, retry) >= (FIRST_WAIT_S if asked_s is None else asked_s)


def _starts(exchange: Exchange) -> bool:
    return exchange.operation == "startBuild" or exchange.note.get("auto_build") is True


RULES: tuple[Rule[Exchange], ...] = (room_is_free,)
