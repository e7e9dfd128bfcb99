"""Reads openapi/answers.yaml: the allowed responses by operation and state."""

from collections.abc import Iterable
from functools import cache

import yaml
from pydantic import TypeAdapter, ValidationError

from touchstone.contract.files import openapi_dir, read_regular
from touchstone.contract.parsing import read_yaml
from touchstone.errors import ContractError, one_line

_Table = dict[str, dict[str, tuple[int, ...]]]


def allowed(operation: str, state: str) -> tuple[int, ...]:
    """Returns the statuses that the owner of a version in *state* may get for *operation*, the documented status first.

    Raises:
        ContractError: the file is missing or malformed, or the operation or state is unknown.
    """
    try:
        return _table()[operation][state]
    except KeyError as error:
        raise ContractError(f"openapi/answers.yaml: {operation}: no statuses for state {state!r}; add them") from error


@cache
def _table() -> _Table:
    path = openapi_dir() / "answers.yaml"
    try:
        return TypeAdapter(_Table).validate_python(read_yaml(read_regular(path)))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ContractError(f"{path}: {one_line(str(error))}") from error


def either(statuses: Iterable[int]) -> str:
    """Joins statuses by or, as in ``202 or 200``."""
    return " or ".join(map(str, statuses))
