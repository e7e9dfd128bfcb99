"""Whether the main key may publish and build at all: a run whose key may not can judge nothing."""

import contextlib

from touchstone.check.examination import Examination
from touchstone.check.terms import Unsuited
from touchstone.config import TargetSettings
from touchstone.facts.exchange import Exchange

UPGRADE_REQUIRED = "UPGRADE_REQUIRED"
# A server may refuse a right key now and then, and is to be judged: so many more tries have to be refused as well.
MORE_TRIES = 2


class PlanWatch:
    """What the main key is answered where it takes the Scale plan.

    Attributes:
        is_barred: Whether the key is known to be refused for its plan, whatever it publishes or builds.
    """

    def __init__(self) -> None:
        self.is_barred = False
        self._accepted = False
        self._refusals = 0

    def hear(self, exchange: Exchange) -> None:
        """Takes note of one exchange."""
        if exchange.credential != "primary" or exchange.operation not in ("publishTemplate", "startBuild"):
            return
        # A conflict is seen by who may publish.
        self._accepted |= 200 <= exchange.status < 300 or exchange.status == 409
        self._refusals += exchange.status == 403 and exchange.body.get("code") == UPGRADE_REQUIRED

    def settle(self, exam: Examination) -> bool:
        """
        Where the key was refused for its plan and never accepted, tries other contents; returns whether it is barred.
        """
        if self._in_doubt() and not self.is_barred:
            before = self._refusals
            with contextlib.suppress(Unsuited):
                for number in range(MORE_TRIES):
                    _try(exam, number)
            self.is_barred = self._in_doubt() and self._refusals == before + MORE_TRIES
        return self.is_barred

    def _in_doubt(self) -> bool:
        return self._refusals > 0 and not self._accepted


def _try(exam: Examination, number: int) -> None:
    refs = exam.target.templates.buildable
    if exam.target.publish != "never":
        exam.publish(exam.template("plan"))
    elif refs:
        exam.start(refs[number % len(refs)])


def barred(target: TargetSettings) -> str:
    """Why a run with such a key was ended, and what to do."""
    source = target.key_sources.primary
    return (
        f"the account of {source} is below the Scale plan, or the server wrongly takes it to be (each publish or start "
        f"is answered with 403 {UPGRADE_REQUIRED}); use a key of a Scale account; one below it belongs in "
        "restricted_api_key_env"
    )
