"""The allowed answers: reads openapi/answers.yaml."""

from collections.abc import Mapping
from functools import cache

import yaml
from pydantic import TypeAdapter, ValidationError

from touchstone.contract.files import openapi_dir, read_regular
from touchstone.contract.parsing import read_yaml
from touchstone.errors import ContractError, one_line

_TABLE = TypeAdapter(dict[str, dict[str, dict[int, str | None]]])


def allowed(operation: str, state: str) -> Mapping[int, str | None]:
    """What the owner of a version in that state may be answered.

    Returns:
        By each allowed HTTP status, what the field ``status`` of the body says; None where it may say anything.

    Raises:
        ContractError: the file is missing, malformed, or has no such operation or state.
    """
    try:
        return _table()[operation][state]
    except KeyError as error:
        raise ContractError(
            f"openapi/answers.yaml: {operation}, {state}: no answers; expected the key {error}"
        ) from error


@cache
def _table() -> dict[str, dict[str, dict[int, str | None]]]:
    path = openapi_dir() / "answers.yaml"
    try:
        return _TABLE.validate_python(read_yaml(read_regular(path)))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ContractError(f"{path}: {one_line(str(error))}") from error


def either(statuses: Mapping[int, str | None]) -> str:
    """The statuses in words: ``202 or 200``."""
    return " or ".join(map(str, statuses))
