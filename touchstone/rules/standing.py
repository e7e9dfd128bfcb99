"""Tells whose version a request was about, and whether there was one, at the time and to the key of that request.

It reads the whole run, also what was sent later: a version may come or go while a request about it is on its way. So
only story rules, which speak when everything is in, may ask.
"""

import re
from typing import Literal

from touchstone.facts.exchange import Credential, Exchange
from touchstone.rules.history import History
from touchstone.rules.requests import parts
from touchstone.rules.unrefused import was_vanished, was_written

# own, foreign: it existed all the time, and the key was its owner's or another account's. deleted: this run had it and
# deleted it. missing: there was none. unsure: any of these.
Standing = Literal["own", "foreign", "deleted", "missing", "unsure"]

ACCEPTED: frozenset[Credential] = frozenset({"primary", "second", "restricted"})

# Names that a run gives: touchstone-<run id>-<purpose>. An account can have versions under any other name.
_OF_A_RUN = re.compile(r"touchstone-[^-]+-.+")


def standing(exchange: Exchange, history: History) -> Standing:
    """What the version in the path was to the key that was shown."""
    return history.once(_standing, exchange)


def _standing(exchange: Exchange, history: History) -> Standing:
    ref = exchange.ref
    if ref is None or exchange.credential not in ACCEPTED:
        return "unsure"
    exists = True if _deleted_by(exchange, history) else history.exists(ref, exchange)
    if exists is None:
        return "unsure"
    if exists and (_maybe_deleted(exchange, history) or was_vanished(exchange, history)):
        return "unsure"
    if exists:
        owner = sole_owner(ref, history)
        # What a server took from a refused key belongs to nobody knows whom.
        return "unsure" if owner not in ACCEPTED else "own" if owner == exchange.credential else "foreign"
    return "deleted" if any(c.from_at < exchange.done_at for c in history.contents(ref)) else "missing"


def sole_owner(ref: str, history: History) -> Credential | None:
    """The one account that had *ref* during the run; None where several had one of that name, or nobody did."""
    owners = {content.owner for content in history.contents(ref)}
    return next(iter(owners)) if len(owners) == 1 else None


def surely_missing(ref: str, history: History) -> bool:
    """Whether a version that this run never had cannot be one that the account has anyway."""
    if not _OF_A_RUN.fullmatch(parts(ref)[1]):
        return False
    return not was_written(ref, history)


def _deleted_by(exchange: Exchange, history: History) -> bool:
    """Whether this is the delete that ended a version, which so existed until then."""
    if exchange.operation != "deleteTemplate":
        return False
    return any(c.sure_at <= exchange.sent_at == c.until_at for c in history.contents(exchange.ref or ""))


def _maybe_deleted(exchange: Exchange, history: History) -> bool:
    """Whether another delete, which was never answered or failed, may have taken effect."""
    story = (e for e in history.story(exchange.ref or "") if e.operation == "deleteTemplate" and e.seq != exchange.seq)
    return any(e.sent_at < exchange.done_at and (e.response is None or e.status >= 500) for e in story)
