"""Writes docs/reference/ from the code (`make docs`).

With --check it only lists the pages that are old (`make lint`); with --picture it also renders docs/report.png.
"""

import sys

from tests.reference.pages import FOLDER, ROOT, pages
from tests.reference.picture import render_picture


def main(arguments: list[str]) -> int:
    """Writes each page that changed and removes others; returns 1 where `--check` finds one that differs."""
    made = pages()
    old = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    changed = sorted(name for name in made.keys() | old.keys() if made.get(name) != old.get(name))
    for name in changed:
        path = FOLDER / name
        sys.stdout.write(f"{path.relative_to(ROOT)}: {'old' if '--check' in arguments else 'written'}\n")
        if "--check" in arguments:
            continue
        if name in made:
            path.write_text(made[name], encoding="utf-8")
        else:
            path.unlink()
    if "--picture" in arguments:
        render_picture(ROOT / "docs" / "report.png")
    if changed and "--check" in arguments:
        sys.stdout.write("docs/reference/ is older than the code: run `make docs` and commit its changes\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
