"""Writes docs/reference/ anew; `make docs` runs it."""

import sys

from tests.reference.pages import FOLDER, ROOT, pages


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    """Writes each page, and removes what is no page any more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in made:
            path.unlink()
            _say(f"{path.relative_to(ROOT)}: removed")
    changed = 0
    for name, text in made.items():
        path = FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")
            _say(f"{path.relative_to(ROOT)}: written")
            changed += 1
    _say(f"{FOLDER.relative_to(ROOT)}/: {len(made)} pages, {changed} of them changed")


if __name__ == "__main__":
    main()
