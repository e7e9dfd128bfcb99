"""
Reads the list of known survivors.
"""

from collections import Counter
from pathlib import Path

DOCUMENT = "docs/mutation.md"


def listed() -> Counter[str]:
    """
    The names of the mutants that are known to survive: the lines with an arrow in the indented lists.
    """
    path = Path(DOCUMENT)
    text = path.read_text("utf-8") if path.exists() else ""
    return Counter(line.strip() for line in text.splitlines() if line.startswith("    ") and " ⇒ " in line)
