"""Recordings on disk: which files are meant, and what each of them holds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from touchstone.contract.document import Contract
from touchstone.contract.files import RECORDED_BYTES, read_regular, recordings_dir
from touchstone.errors import RecordingError
from touchstone.recordings import foreign, har, har_schema
from touchstone.recordings.recording import Recording

SUFFIXES = (".har", ".json", ".yaml", ".yml")
# What each cassette has, whoever wrote it.
_INTERACTIONS = "interactions"


def found(paths: Sequence[Path]) -> list[Path]:
    """
    The files that *paths* name: files as they are, of folders all HAR files below them, sorted; else the bundled ones.

    Raises:
        RecordingError: one does not exist, or there are none.
    """
    files: list[Path] = []
    for path in paths or (recordings_dir(),):
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".har")
            if not below:
                raise RecordingError(f"{path}: holds no recording; expected *.har; make some with `touchstone record`")
            files += below
        elif path.exists():
            files.append(path)
        else:
            raise RecordingError(f"{path}: no such file; expected a HAR file, a VCR file or a folder of HAR files")
    return list(dict.fromkeys(files))


def read(path: Path) -> Recording:
    """The recording in a file: one of ours, a HAR of a browser or a proxy, or a VCR cassette.

    Raises:
        RecordingError: it is none of these; the message names the place.
    """
    text = text_of(path)
    if not text.strip():
        raise RecordingError(f"{path}: is empty; expected a HAR or VCR file")
    if not text.lstrip().startswith("{"):
        try:
            return _made(path, lambda: foreign.vcr(text, path.stem, str(path), Contract.load()))
        except RecordingError as error:
            if _INTERACTIONS in text:
                raise
            raise _neither(path, error) from error
    document = _json(path, text)
    if "http_interactions" in document or "interactions" in document:
        return _made(path, lambda: foreign.vcr(text, path.stem, str(path), Contract.load()))
    if is_ours(document):
        return _ours(path, document)
    _check(path, document)
    return _made(path, lambda: foreign.har(document, path.stem, str(path), Contract.load()))


def _neither(path: Path, error: RecordingError) -> RecordingError:
    """That a file of another kind is no recording at all, and what speaks against its being a cassette."""
    why = str(error).removeprefix(f"{path}: ").rpartition("; expected ")[0]
    return RecordingError(f"{path}: is neither HAR nor VCR: {why}; expected a HAR or VCR file")


def is_ours(document: dict[str, Any]) -> bool:
    """Whether `touchstone record` has written a HAR document."""
    log = document.get("log")
    return isinstance(log, dict) and har.OURS in log


def _ours(path: Path, document: dict[str, Any]) -> Recording:
    """
    A recording of ours. Whether it is HAR in every field is for `recordings lint` to say, unless it cannot be read.
    """
    try:
        return _made(path, lambda: har.decode(document, str(path)))
    except RecordingError:
        _check(path, document)
        raise


def _check(path: Path, document: dict[str, Any]) -> None:
    problems = har_schema.problems(document)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RecordingError(f"{path}: {problems[0].untold}{more}; expected HAR 1.2")


def _made(path: Path, make: Any) -> Recording:
    try:
        recording: Recording = make()
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from error
    except RecursionError as error:
        raise RecordingError(f"{path}: is nested too deeply; expected a HAR or VCR file") from error
    return recording


def text_of(path: Path) -> str:
    """What a file says, without a byte order mark.

    Raises:
        RecordingError: it cannot be read, or is no text in UTF-8.
    """
    try:
        return read_regular(path, RECORDED_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: byte {error.start} is no UTF-8; expected a HAR or VCR file") from error


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecordingError(f"{path}: line {error.lineno}: {error.msg}; expected a HAR file") from error
    except ValueError as error:
        raise RecordingError(f"{path}: a number in it has too many digits; expected a HAR file") from error
    except RecursionError as error:
        raise RecordingError(f"{path}: is nested too deeply; expected a HAR file") from error
    assert isinstance(document, dict)  # it begins with a brace
    return document
