"""Recordings on disk: which files are meant, and what each of them holds."""

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
    """The files that *paths* name, or the bundled ones; a RecordingError where there are none. Folders are searched."""
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
            raise RecordingError(f"{path}: no such file; expected a HAR file or a folder of HAR files")
    return list(dict.fromkeys(files))


def accounts_of(options: Sequence[str], environ: Mapping[str, str]) -> Accounts:
    """Whose each key is, from options such as ``primary=KEY``, where KEY may be the name of a variable with the key.

    Raises:
        UsageError: one is of another form, or two give one key to two accounts; the message holds no key.
    """
    accounts: dict[str, Account] = {}
    for option in options:
        role, equals, key = option.partition("=")
        value = environ.get(key, key)
        if not equals or not value or _LIKE_VARIABLE.fullmatch(value):
            like = "ROLE=KEY, such as primary=ORGO_API_KEY, with a key or the name of a variable that is set"
            raise UsageError(f"--as: expected {like}")
        if role not in get_args(Account):
            raise UsageError(f"--as: there is no such account; expected {', '.join(get_args(Account))}")
        if accounts.setdefault(value, cast("Account", role)) != role:
            raise UsageError(
                f"--as {role}=…: the same key is {accounts[value]}, too; expected one account for each key"
            )
    return accounts


def read(path: Path, accounts: Accounts | None = None) -> Recording:
    """The recording in a file, ours or one of others, whose keys belong to *accounts*; None where that does not matter.

    Raises:
        RecordingError: it is none of these, or it is not known whose its keys are; the message names the place.
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
    """The text of a file without a byte order mark; a RecordingError where it cannot be read, or is no UTF-8."""
    try:
        return read_regular(path, RECORDED_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: byte {error.start} is no UTF-8; expected a HAR file") from error


def document_of(path: Path, text: str) -> dict[str, Any]:
    """The JSON object in the text of a file; a RecordingError where there is none."""
    problem = "is no JSON object"
    try:
        document = json.loads(text)
        if isinstance(document, dict):
            return document
    except json.JSONDecodeError as error:
        problem = f"line {error.lineno}: {error.msg}" if text.strip() else "is empty"
    except ValueError:
        problem = "a number in it has too many digits"
    except RecursionError:
        problem = "is nested too deeply"
    raise RecordingError(f"{path}: {problem}; expected a HAR file")
