"""What is said of a load run as a whole: findings, judgements that break nothing, and why something was not judged."""

import shlex
from dataclasses import dataclass
from pathlib import PurePath

from touchstone.facts.events import Header, Notice
from touchstone.facts.finding import Finding, Judgement


@dataclass(frozen=True, slots=True)
class Ruling:
    """All of it, each part in the form in which a run log takes it.

    Attributes:
        findings: One for each occasion; occasions of one disagreement have the same id.
        judgements: Held and indeterminate ones.
    """

    findings: tuple[Finding, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    notices: tuple[Notice, ...] = ()


def again(header: Header) -> str:
    """
    The command that does the same run again with the same seed: what shows a finding that no single request shows.
    """
    words = list(header.argv)
    if words and PurePath(words[0]).name.startswith(("touchstone", "__main__")):
        words = words[1:]
    if not words or words[0] != header.command:
        words = [header.command, *words]
    if not any(word == "--seed" or word.startswith("--seed=") for word in words):
        words += ["--seed", str(header.seed)]
    return shlex.join(["touchstone", *words])
