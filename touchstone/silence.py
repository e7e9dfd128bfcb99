"""
A target that answers nobody any more: noticed while a load goes on, and told afterwards; pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from touchstone.sample import NO_ANSWER, UNSENT, Window

# Whoever waits for the end of a build gives up when nobody has been answered for so long.
SILENT_S = 10.0
# Fewer requests than these may go astray without a word.
_FEWEST = 3


class Silence:
    """
    Hears how requests end, whoever sent them.
    """

    def __init__(self) -> None:
        self._vain_from: float | None = None

    def hear(self, sent_at: float, *, answered: bool) -> None:
        """
        Hears of a request that has ended.
        """
        if answered:
            self._vain_from = None
        elif self._vain_from is None:
            self._vain_from = sent_at

    def lasts(self, at_s: float) -> bool:
        """
        Whether all that ended in the last SILENT_S seconds, and anything did, ended without an answer.
        """
        return self._vain_from is not None and at_s - self._vain_from > SILENT_S


@dataclass(frozen=True, slots=True)
class Fallen:
    """
    A silence up to the end of a run.

    Attributes:
        from_s: The second of the run after the last one with an answer.
        unanswered: Requests that got no answer from then on.
    """

    from_s: int
    unanswered: int


def fallen(windows: Sequence[Window]) -> Fallen | None:
    """
    The silence that a run ended in; None where the target still answered, or was hardly asked.
    """
    sent = [window for window in windows if window.outcome != UNSENT]
    heard_s = max((w.at_s for w in sent if w.outcome != NO_ANSWER), default=-1)
    vain = [window for window in sent if window.at_s > heard_s]
    unanswered = sum(window.count for window in vain)
    return Fallen(min(w.at_s for w in vain), unanswered) if unanswered >= _FEWEST else None
