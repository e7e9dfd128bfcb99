"""What an answer is before anybody asks what it means: its media type, its JSON, the error that it may be."""

from typing import Any

from touchstone.contract.json_text import read_json
from touchstone.facts.exchange import Exchange, Response
from touchstone.rules.rule import shown

SUCCESS = range(200, 300)


def media_type(response: Response) -> str:
    """The media type in lower case without parameters, or empty."""
    return (response.header("content-type") or "").partition(";")[0].strip().lower()


def announces_json(response: Response) -> bool:
    """Whether the body is said to be JSON."""
    kind = media_type(response)
    return kind == "application/json" or kind.endswith("+json")


def json_problem(body: bytes) -> str:
    """Why a body is not one complete JSON value in UTF-8; empty where it is."""
    try:
        read_json(body)
    except ValueError as error:
        return str(error)
    return ""


def garbled(exchange: Exchange) -> bool:
    """
    Whether there is a body that is no JSON: what it is announced as and whether it is whole have claims of their own.
    """
    body = exchange.response.body if exchange.response else b""
    return bool(body and json_problem(body))


def error_problem(response: Response) -> str:
    """Why an answer is not the documented error body; empty where it is.

    Source:
        troubleshooting#errors; facts 7.16: only error is required.
    """
    body: Any = response.json_object()
    if body is None:
        return f"{media_type(response) or 'no media type'} {shown(response.body)}"
    error = body.get("error")
    return "" if isinstance(error, str) and error.strip() else shown(body)


def told(exchange: Exchange) -> str:
    """The answer in a few words: its status and the beginning of its body."""
    if exchange.response is None:
        return exchange.error or "no answer"
    body = exchange.response.json_object()
    value = body if body is not None else exchange.response.body
    return str(exchange.status) if value == b"" else f"{exchange.status} {shown(value)}"


def told_of_body(exchange: Exchange) -> str:
    """The same where a body is wanted: that there is none is told as well."""
    empty = exchange.response is not None and not exchange.response.body
    return f"{exchange.status} without a body" if empty else told(exchange)


def judgeable(exchange: Exchange) -> bool:
    """
    Whether the answer says something about a claim on a status: it came, it is whole, and no limit got in the way.
    """
    return exchange.response is not None and not exchange.error and exchange.status != 429
