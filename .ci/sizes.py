"""Prints the size of each part of the project beside its budget; exit code 1 if one is above it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "touchstone"
# Folders of faults and variants may have any number of modules.
WIDE = {HOUSE / "proof" / name for name in ("faults", "variants")}


def lines(*folders: Path, without: Path | None = None) -> int:
    """Physical lines of the Python files in *folders*."""
    files = (path for folder in folders for path in folder.rglob("*.py"))
    return sum(len(path.read_bytes().splitlines()) for path in files if without not in path.parents)


def words(folder: Path) -> int:
    """Words in the Markdown files of a folder."""
    return sum(len(path.read_text("utf-8").split()) for path in folder.rglob("*.md"))


def modules(folder: Path) -> int:
    """Modules in a folder, without `__init__` and `__main__`."""
    return sum(path.stem not in ("__init__", "__main__") for path in folder.glob("*.py"))


def packages() -> list[Path]:
    """The packages of touchstone/."""
    return sorted(path.parent for path in HOUSE.glob("*/__init__.py"))


def widest() -> int:
    """Modules in the folder that has most of them."""
    return max(modules(path.parent) for path in HOUSE.rglob("__init__.py") if path.parent not in {HOUSE, *WIDE})


def targets() -> int:
    """Targets in the menu of the Makefile."""
    return len(re.findall(r"^[a-z-]+:.*## ", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))


def rows() -> Iterator[tuple[str, int, int]]:
    """What is counted, its size and its budget."""
    proof = HOUSE / "proof"
    yield "lines of touchstone/ without proof/", lines(HOUSE, without=proof), 34_000
    yield "lines of touchstone/proof/", lines(proof), 8_000
    yield "lines of contract_tests/ and load/", lines(ROOT / "contract_tests", ROOT / "load"), 4_500
    yield "lines of tests/", lines(ROOT / "tests"), 40_000
    yield "packages in touchstone/", len(packages()), 12
    yield "modules beside them", modules(HOUSE), 4
    yield "modules in one folder", widest(), 25
    yield "words in docs/", words(ROOT / "docs"), 30_000
    yield "words in README.md", len((ROOT / "README.md").read_text("utf-8").split()), 900
    yield "targets of the Makefile", targets(), 14


def main() -> int:
    """Prints the table."""
    above = 0
    for what, number, budget in rows():
        above += number > budget
        note = "  above its budget" if number > budget else ""
        sys.stdout.write(f"{what:<38} {number:>7,} of {budget:>6,}{note}\n")
    return min(above, 1)


if __name__ == "__main__":
    sys.exit(main())
