"""The published recordings, and changed copies of them."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from touchstone.contract.files import recordings_dir
from touchstone.facts.exchange import Exchange
from touchstone.recordings import reader
from touchstone.recordings.recording import Recording

Document = dict[str, Any]
Entry = dict[str, Any]


@functools.cache
def recorded(name: str) -> Recording:
    """The published recording of one scenario."""
    return reader.read(recordings_dir() / f"{name}.har")


def every() -> list[str]:
    """The names of all recordings."""
    return sorted(path.stem for path in recordings_dir().glob("*.har"))


def document(name: str) -> Document:
    """A new copy of the HAR document of one scenario."""
    return dict(json.loads((recordings_dir() / f"{name}.har").read_text("utf-8")))


def entry(har: Document, step: str, operation: str = "", number: int = 0) -> Entry:
    """One of the entries with this step."""
    found = [e for e in har["log"]["entries"] if e["_step"] == step and operation in ("", e["_exchange"]["operation"])]
    result: Entry = found[number]
    return result


def saved(har: Document, folder: Path) -> Path:
    """Writes a document to the file of its scenario."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{har['log']['pages'][0]['id']}.har"
    path.write_text(json.dumps(har), "utf-8")
    return path


def changed(recording: Recording, number: int, change: Callable[[Exchange], Exchange]) -> Recording:
    """The recording with one exchange changed."""
    exchanges = list(recording.exchanges)
    exchanges[number] = change(exchanges[number])
    return replace(recording, exchanges=tuple(exchanges))
