"""Tables of texts that reports share, from assets/texts.toml."""

import tomllib
from pathlib import Path

TEXTS: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "assets" / "texts.toml").read_text("utf-8"))
