"""
Writes docs/reference/ anew; `make docs` runs it.
"""

from tests.reference.pages import FOLDER, pages


def main() -> None:
    """
    Writes each page, and removes what is no page any more.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
