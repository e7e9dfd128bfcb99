"""
Reads the list of known survivors: headings with a reason below each, and the mutants of that reason in indented lines.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

DOCUMENT = "docs/mutation.md"
ARROW = " ⇒ "


@dataclass(slots=True)
class Reason:
    """
    A heading of the list, with what stands below it.

    Attributes:
        text: The sentences that say why nothing kills these mutants.
        mutants: Their names.
    """

    heading: str
    text: str = ""
    mutants: list[str] = field(default_factory=list)


def reasons(text: str) -> list[Reason]:
    """
    The sections of the list, those without mutants included.
    """
    found = [Reason("")]
    for line in text.splitlines():
        if line.startswith("#"):
            found.append(Reason(line.lstrip("# ")))
        elif line.startswith("    "):
            found[-1].mutants.append(line.strip())
        else:
            found[-1].text += line.strip()
    return found


def listed(path: Path = Path(DOCUMENT)) -> Counter[str]:
    """
    The names of the mutants that are known to survive.
    """
    text = path.read_text("utf-8") if path.exists() else ""
    return Counter(name for reason in reasons(text) for name in reason.mutants)
