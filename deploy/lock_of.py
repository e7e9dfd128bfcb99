"""Prints the part of a lock file that some packages need: `python lock_of.py NAME… < requirements.lock`.

Without a name it is what the project itself needs, and none of what only its development does. Who needs a package is
read from the comments that uv writes below it.
"""

import re
import sys
from collections.abc import Iterable

PROJECT = "touchstone-build-api (pyproject.toml)"

_BEGIN = re.compile(r"^(?=[A-Za-z0-9])", flags=re.MULTILINE)


def part(lock: str, names: Iterable[str]) -> str:
    """The blocks of *lock* that are about these packages, or about what any of them needs.

    Raises:
        ValueError: a name is in no block.
    """
    blocks = [(block.partition("==")[0].partition("[")[0], block) for block in _BEGIN.split(lock) if "==" in block]
    needed = set(names)
    if unknown := needed - {PROJECT} - {name for name, _ in blocks}:
        raise ValueError(f"{', '.join(sorted(unknown))}: not in the lock; expected the name of a package in it")
    while more := {name for name, block in blocks if name not in needed and not needed.isdisjoint(_needed_by(block))}:
        needed |= more
    return "".join(block for name, block in blocks if name in needed)


def _needed_by(block: str) -> set[str]:
    """Those that a block says its package is there for."""
    comment = block.partition("# via")[2]
    return {line.lstrip("# ").strip() for line in comment.splitlines() if line.strip("# ")}


def main() -> None:
    """From standard input to standard output."""
    try:
        told = part(sys.stdin.read(), sys.argv[1:] or [PROJECT])
    except ValueError as error:
        sys.exit(str(error))
    sys.stdout.write(told)


if __name__ == "__main__":
    main()
