"""Writes files atomically, and removes known keys from their text."""

import contextlib
import os
import secrets
from pathlib import Path

from touchstone.errors import unwritten
from touchstone.facts.redaction_guard import redact

_ADVICE = "make room there, or write elsewhere with --report-dir"


def write_whole(path: Path, text: str) -> None:
    """Writes *text* to *path* atomically and removes known keys; raises UsageError or OutputError on failure."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(redact(text, path))
        temporary.replace(path)
    except OSError as error:
        raise unwritten(f"{path}: the report cannot be written: {error.strerror}; {_ADVICE}", error) from error
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone
            temporary.unlink(missing_ok=True)
