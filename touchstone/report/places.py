"""Where a remark about a claim belongs in the repository that a command runs in."""

import re
from functools import cache
from pathlib import Path

from touchstone.contract.files import openapi_dir

# What they are called in a checkout of ours.
LEDGER = "openapi/claims.yaml"
THRESHOLDS = "load/thresholds.toml"


class Places:
    """The files of a checkout that have to do with claims.

    Args:
        checkout: Folder of the repository; None where nobody knows.
        workflow: File of the workflow that runs the command, as a path in the repository; empty where nobody knows.
    """

    __slots__ = ("_checkout", "_workflow")

    def __init__(self, checkout: Path | None, workflow: str) -> None:
        self._checkout = checkout
        self._workflow = workflow

    def of_claim(self, claim: str) -> tuple[str, int] | None:
        """
        The file that states the claim, and its line from 1; the workflow where that file is not of this repository.
        """
        if self._checkout is None:
            return None
        ledger = openapi_dir() / "claims.yaml"
        line = _lines(ledger).get(claim)
        # An installed package may lie in the checkout, too, in a place that the repository knows nothing of.
        if line and ledger == self._checkout.resolve() / LEDGER:
            return LEDGER, line
        if self._workflow and (self._checkout / self._workflow).is_file():
            return self._workflow, 1
        return None


@cache
def _lines(ledger: Path) -> dict[str, int]:
    """By id of a claim, the line that its row begins with."""
    lines = ledger.read_text("utf-8").splitlines()
    found = ((re.match(r"\s*- id: (\S+)$", text), number) for number, text in enumerate(lines, start=1))
    return {match[1]: number for match, number in found if match}
