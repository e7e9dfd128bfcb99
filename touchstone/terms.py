"""
The terms on which an examination runs: what it may spend, what it tells about templates, and how it gives up.
"""

from dataclasses import dataclass
from typing import Protocol

from touchstone.provision import Template
from touchstone.runfacts import NoticeVerdict


class Unsuited(Exception):
    """
    The case cannot go on; what it was to show gets *verdict* unless something showed it already.
    """

    def __init__(self, verdict: NoticeVerdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


class Ledger(Protocol):
    """
    What the examination tells the outside about templates, before and after it touches them.
    """

    def intend(self, template: Template) -> None:
        """
        *template* is about to be published.
        """

    def published(self, template: Template, digest: str) -> None:
        """
        *template* was published.
        """

    def removed(self, template: Template, *, gone: bool) -> None:
        """
        *template* was deleted, or could not be.
        """


@dataclass
class Budget:
    """
    What a run may still spend.

    Attributes:
        builds: Builds that it may begin.
        until_at: Moment of the run's clock at which it stops sending, or infinity.
    """

    builds: int
    until_at: float = float("inf")

    def need_build(self) -> None:
        """
        Makes sure that one more build may begin.

        Raises:
            Unsuited: none is left.
        """
        if self.builds <= 0:
            raise Unsuited("could-not-run", "the budget of builds is spent; raise --max-builds or max_builds")

    def take_build(self) -> None:
        """
        Counts a build that has begun.
        """
        self.builds -= 1
