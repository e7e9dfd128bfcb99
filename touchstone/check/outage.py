"""
A target that answers nobody any more, noticed while requests end.
"""

# Whoever waits for the end of a build gives up when nobody has been answered for so long; a pause is as long at least.
SILENT_S = 10.0
# After so many requests in a row, of whatever case, that nobody answers the cases that are left are not tried.
UNHEARD_REQUESTS = 10
# Once nobody has answered so many removals in a row the rest is left to a sweep: each would take its whole timeout.
SILENT_REMOVALS = 3


class Silence:
    """
    Hears how requests end, whoever sent them.

    Args:
        fewest: So many in a row have to end without an answer before it is called silence.
    """

    def __init__(self, fewest: int = 1) -> None:
        self._fewest = fewest
        self._vain = 0
        self._vain_from: float | None = None

    def hear(self, sent_at: float, *, answered: bool) -> None:
        """
        Hears of a request that has ended.
        """
        self._vain = 0 if answered else self._vain + 1
        if answered:
            self._vain_from = None
        elif self._vain_from is None:
            self._vain_from = sent_at

    def lasts(self, at_s: float) -> bool:
        """
        Whether all that ended in the last SILENT_S seconds, and anything did, ended without an answer.
        """
        lasted = self._vain_from is not None and at_s - self._vain_from > SILENT_S
        return lasted and self._vain >= self._fewest
