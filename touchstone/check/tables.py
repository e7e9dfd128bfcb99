"""Which characters UTF-8 can encode: Hypothesis finds it out on each new machine, with 200 MB, and keeps it.

It is written to where Hypothesis looks for it. Where that has moved, it finds it out as ever.
"""

import contextlib
import gzip
import json
import tempfile
from pathlib import Path

from hypothesis.internal import charmap

# All but the surrogates; and those that are decoded to another character than was encoded, of which there are none.
UTF_8: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([(0, 0xD7FF), (0xE000, 0x10FFFF)], [])


def provide() -> None:
    """Writes the table, unless there is one; a folder that takes none is left alone."""
    with contextlib.suppress(OSError, AttributeError):
        path = charmap.charmap_file("codec-v2-utf-8")
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(gzip.compress(json.dumps(UTF_8).encode(), mtime=1))
        Path(file.name).replace(path)
