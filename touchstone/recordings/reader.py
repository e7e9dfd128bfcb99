"""Finds recordings on disk and reads them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from touchstone.contract.document import Contract
from touchstone.contract.files import RECORDED_BYTES, read_regular, recordings_dir
from touchstone.errors import RecordingError, UsageError
from touchstone.recordings import foreign, har
from touchstone.recordings.recording import Account, Accounts, Recording

_LIKE_VARIABLE = re.compile(r"[A-Z]+(?:_[A-Z]+)+")


def found(paths: Sequence[Path]) -> list[Path]:
    """The HAR files at or below *paths*; without paths, the bundled ones. Raises RecordingError if a path has none."""
    files: list[Path] = []
    for path in paths or (recordings_dir(),):
        if path.is_dir():
            if not (below := sorted(file for file in path.rglob("*") if file.suffix.lower() == ".har")):
                raise RecordingError(f"{path}: holds no recording; expected *.har; `touchstone record` makes some")
            files += below
        elif path.exists():
            files.append(path)
        else:
            raise RecordingError(f"{path}: no such file; expected a HAR file or a folder of HAR files")
    return list(dict.fromkeys(files))


def accounts_of(options: Sequence[str], environ: Mapping[str, str]) -> Accounts:
    """The account of each key, from options such as ``primary=KEY``; KEY is a key, or a variable that holds a key.

    Raises a UsageError if an option has another form or gives a key to a second account; no message has a key.
    """
    accounts: dict[str, Account] = {}
    for option in options:
        role, equals, key = option.partition("=")
        value = environ.get(key, key)
        if not equals or not value or _LIKE_VARIABLE.fullmatch(value):
            form = "ROLE=KEY, such as primary=ORGO_API_KEY; KEY is a key or a variable that is set"
            raise UsageError(f"--as: expected {form}")
        if role not in get_args(Account):
            raise UsageError(f"--as: unknown account; expected {', '.join(get_args(Account))}")
        if accounts.setdefault(value, cast("Account", role)) != role:
            raise UsageError(f"--as {role}=…: the key already belongs to {accounts[value]}; give each key one account")
    return accounts


def read(path: Path, accounts: Accounts | None = None) -> Recording:
    """Reads a recording. *accounts*: the account of each key in a foreign file; None: all keys are primary.

    Raises a RecordingError if the file is no HAR, or the account of a key is unknown; the message names the place.
    """
    document = document_of(path, text_of(path))
    if problems := har.problems(document):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RecordingError(f"{path}: {problems[0].without_value}{more}; expected HAR 1.2")
    try:
        if har.OURS in document["log"]:
            return har.decode(document, str(path))
        return foreign.recording(document, path.stem, str(path), Contract.load(), accounts)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path}: {error}") from error


def text_of(path: Path) -> str:
    """The text of a file, without a byte order mark; raises a RecordingError if the file is unreadable or not UTF-8."""
    try:
        return read_regular(path, RECORDED_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: byte {error.start} is no UTF-8; expected a HAR file") from error


def document_of(path: Path, text: str) -> dict[str, Any]:
    """Parses the text of a file, a JSON object; raises a RecordingError for any other text."""
    problem = "is no JSON object"
    try:
        if isinstance(document := json.loads(text), dict):
            return document
    except (ValueError, RecursionError) as error:
        problem = f"is no JSON: {error}" if text.strip() else "is empty"
    raise RecordingError(f"{path}: {problem}; expected a HAR file")
