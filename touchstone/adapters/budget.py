"""
How many requests one worker of a load run may send, and how many it has sent.
"""

from collections.abc import Callable


class Budget:
    """
    A worker's requests.

    Args:
        most: How many there may be in all; None for any number.
        tell: Called once, when one is asked for that there is no room for.

    Attributes:
        is_over: Whether that has happened: nothing more will be sent.
    """

    def __init__(self, most: int | None, tell: Callable[[], None]) -> None:
        self.most = most
        self.is_over = False
        self._tell = tell
        self._requests = 0

    def spend(self, requests: int) -> None:
        """
        Takes requests out of the budget that another process sends.
        """
        self._requests += requests

    def take(self) -> bool:
        """
        Takes one request out of the budget; whether there was room for it.
        """
        if self.most is not None and self._requests >= self.most:
            if not self.is_over:
                self.is_over = True
                self._tell()
            return False
        self._requests += 1
        return True


def share_of(whole: int | None, number: int, workers: int) -> int | None:
    """
    One worker's share of something that is dealt evenly; all shares together are the whole, None of None.
    """
    return None if whole is None else whole // workers + (number < whole % workers)
