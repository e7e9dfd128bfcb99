"""What the command line says of a value that Typer refuses: what was found and what was expected."""

from typing import Any

from touchstone.config_file import RUN_KEYS, TARGET_KEYS
from touchstone.config_kinds import checked
from touchstone.errors import UsageError

# What Pydantic, which reads numbers for Typer, calls those that do not fit.
_WHOLE, _ANY = "a whole number", "a number"
_UNREAD = {"int_parsing": _WHOLE, "int_from_float": _WHOLE, "float_parsing": _ANY}
_OUT_OF_RANGE = {"greater_than_equal": "ge", "less_than_equal": "le"}
_CHOICE = "One of "


def refusal(error: Any) -> UsageError | None:
    """The error in our words; None where those of Typer will do.

    Args:
        error: A BadParameter or MissingParameter of Typer.
    """
    if error.param is None:
        return None
    if type(error).__name__ == "MissingParameter":  # Typer keeps its own name for it to itself
        return _missing(error.param)
    (problem, *_) = getattr(error.__cause__, "errors", lambda: [{"type": ""}])()
    if problem["type"] not in {**_UNREAD, **_OUT_OF_RANGE}:
        return None
    return _number(error.param, problem)


def _missing(param: Any) -> UsageError | None:
    if not (param.required and (param.help or "").startswith(_CHOICE)):
        return None
    return UsageError(f"{param.metavar}: is missing; expected {param.help[0].lower()}{param.help[1:].rstrip('.')}")


def _number(param: Any, problem: dict[str, Any]) -> UsageError:
    place, found = param.opts[0], str(problem["input"])
    kind = {**TARGET_KEYS, **RUN_KEYS}.get(param.name)
    if kind:  # a setting says itself what it may be
        try:
            checked(place, found, kind)
        except UsageError as error:
            return error
    sort = problem["type"]
    if sort in _UNREAD:
        return UsageError(f"{place}: found {found!r}; expected {_UNREAD[sort]}{_range(param)}")
    noun = _WHOLE if isinstance(problem["ctx"][_OUT_OF_RANGE[sort]], int) else _ANY
    return UsageError(f"{place}: found {found}; expected {noun}{_range(param)}")


def _range(param: Any) -> str:
    if param.min is None:
        return "" if param.max is None else f" up to {param.max:,}"
    return f" of {param.min:,} or more" if param.max is None else f" from {param.min:,} to {param.max:,}"
