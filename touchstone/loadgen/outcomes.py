"""What kind of answer an outcome is: one that was asked for, one that a contract foresees, a refusal, or an error."""

from typing import Literal, get_args

from touchstone.facts.sample import CUT_OFF, NO_ANSWER, UNSENT

Kind = Literal[
    "served",  # 2xx
    "declined",  # 404 and 409: nothing is there, or it is too late; documented answers, and no fault under load
    "refused",  # 429
    "error",  # no answer, 5xx, and every other status: redirects and 4xx that nobody expects of a working client
    "cut",  # the run was stopped before an answer came; whether one would have come, nobody knows
    "unsent",  # it came due, and the generator could not send it
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_DECLINED = ("404", "409")
_REFUSED = "429"


def kind_of(outcome: str) -> Kind:
    """The kind of an outcome.

    Args:
        outcome: A status as text, or one of the words that `touchstone.sample` has for what is no status.
    """
    if outcome == UNSENT:
        return "unsent"
    if outcome == CUT_OFF:
        return "cut"
    if outcome in _DECLINED:
        return "declined"
    if outcome == _REFUSED:
        return "refused"
    return "served" if outcome != NO_ANSWER and outcome.startswith("2") else "error"
