"""Reads VCR cassettes: ``http_interactions`` of schemathesis, Betamax and the first VCR, ``interactions`` of vcrpy.

Only schemathesis tells times that are good for more than an order.
"""

import base64
import binascii
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import yaml

from touchstone.contract.parsing import fault, read_yaml
from touchstone.contract.quoting import described
from touchstone.errors import one_line
from touchstone.facts.exchange import Response
from touchstone.recordings import har
from touchstone.recordings.foreign_entry import (
    CUT_TEXT,
    GIVEN_UP,
    NO_TEXT,
    Entry,
    Headers,
    Times,
    check_times,
    times_by_answer,
)

_LISTS = ("http_interactions", "interactions")
# Exchanges without times are this far apart, so that their order is certain.
_APART_S = 0.001
_GZIPPED = b"\x1f\x8b"
_NAME_CHARS = 20
# A file of 1 MB can say that it holds 1 GB.
MAX_BODY_BYTES = 64 << 20
# Encodings of host names, which no body has and which take time that grows as the square of the length.
_OF_NAMES = frozenset({"idna", "punycode"})


def entries(text: str) -> tuple[list[Entry], str | None]:
    """The interactions of a cassette, and when the first one was recorded where their times do not tell that.

    Raises:
        ValueError: it is no cassette; the text names the place.
    """
    written, place = _interactions(text)
    timed = bool(written) and all(_is_timed(each) for each in written)
    found: list[Entry] = []
    for number, each in enumerate(written):
        where = f"{place}[{number}]"
        before_at = found[-1].done_at if found else None
        times = _timed(each, before_at) if timed else _apart(number)
        check_times(where, times)
        found.append(_entry(each, where, times, timed=timed))
    return found, None if timed or not written else _recorded_at(written[0])


def _interactions(text: str) -> tuple[list[Mapping[str, Any]], str]:
    document = _document(text)
    if not isinstance(document, dict):
        raise _unlike("the document", document, "an object with http_interactions")
    place = next((name for name in _LISTS if name in document), "")
    if not place:
        # Whatever file it is, what stands where its names are expected may be a key.
        names = ", ".join(sorted(name for name in map(str, document) if len(name) <= _NAME_CHARS)[:5])
        names = one_line(names or ("other names" if document else "nothing"))
        raise ValueError(f"the document: has {names}; expected http_interactions, or interactions of vcrpy")
    written = document[place]
    # What schemathesis writes where it sent nothing.
    if written is None:
        return [], place
    if not isinstance(written, list):
        raise _unlike(place, written, "a list")
    for number, each in enumerate(written):
        if not isinstance(each, dict):
            raise _unlike(f"{place}[{number}]", each, "an object with request and response")
        _check_form(each, f"{place}[{number}]")
    return written, place


def _check_form(each: Mapping[str, Any], place: str) -> None:
    """Refuses what is no interaction, before any of them is asked for its times."""
    request, answer = _object(each, "request", place), each.get("response")
    for name, value in (("method", request.get("method")), ("uri", request.get("uri", request.get("url")))):
        if not isinstance(value, str):
            raise _unlike(f"{place}.request.{name}", value, "a text")
    if answer is not None and not isinstance(answer, dict):
        raise _unlike(f"{place}.response", answer, "an object, or null without an answer")
    for half, where in ((request, f"{place}.request"), (answer or {}, f"{place}.response")):
        if not isinstance(half.get("headers"), dict | None):
            raise _unlike(f"{where}.headers", half["headers"], "an object")


def _document(text: str) -> Any:
    try:
        # JSON writes some characters in two halves, which YAML does not put together.
        return json.loads(text) if text.lstrip().startswith("{") else read_yaml(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: is no JSON: {error.msg}; expected a VCR cassette") from error
    except yaml.YAMLError as error:
        where, _, problem = fault(error).rpartition(": ")
        raise ValueError(f"{where or 'the document'}: is no YAML: {problem}; expected a VCR cassette") from error
    except ValueError as error:
        raise ValueError("the document: a number in it has too many digits; expected a VCR cassette") from error
    except RecursionError as error:
        raise ValueError("the document: is nested too deeply; expected a VCR cassette") from error


def _entry(each: Mapping[str, Any], place: str, times: Times, *, timed: bool) -> Entry:
    request, answer = each["request"], each.get("response")
    status = _status(answer, f"{place}.response") if answer else 0
    unknown = _unknown(answer) if answer else GIVEN_UP
    sent_at, head_at, done_at = times
    return Entry(
        place=place,
        method=request["method"].upper(),
        url=request.get("uri", request.get("url")),
        headers=_headers(request.get("headers")),
        body=_body(request.get("body"), f"{place}.request.body"),
        response=_response(answer, status, f"{place}.response", timed=timed) if answer and not unknown else None,
        status=status,
        unknown=unknown,
        ended="server" if timed else "untold",
        sent_at=sent_at,
        head_at=head_at,
        done_at=done_at,
    )


def _response(answer: Mapping[str, Any], status: int, place: str, *, timed: bool) -> Response:
    headers = _headers(answer.get("headers"))
    if not timed:
        # What the clock of the server shows goes together with times that are known.
        headers = tuple((name, value) for name, value in headers if name.lower() != "date")
    body = _body(answer.get("body", answer.get("content")), f"{place}.body")
    return Response(status, headers, _unzipped(body, f"{place}.body"))


def _unknown(answer: Mapping[str, Any]) -> str:
    if answer.get("truncated_from"):
        return CUT_TEXT
    # The others write an empty body as one.
    return "" if "body" in answer or "content" in answer else NO_TEXT


def _status(answer: Mapping[str, Any], place: str) -> int:
    status = answer.get("status", answer.get("status_code"))
    code = status.get("code") if isinstance(status, dict) else status
    try:
        return int(str(code))
    except ValueError:
        raise ValueError(f"{place}.status.code: is {described(code)}; expected a status code of HTTP") from None


def _headers(written: Mapping[str, Any] | None) -> Headers:
    return tuple(_each_header(written or {}))


def _each_header(written: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for name, values in written.items():
        for value in values if isinstance(values, list) else [values]:
            yield str(name), value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body(written: object, place: str) -> bytes:
    """The bytes of a body, which is written as it is, or as an object with its encoding."""
    if written is None:
        return b""
    if isinstance(written, bytes):
        return written
    if isinstance(written, str):
        return written.encode("utf-8", "surrogatepass")
    if not isinstance(written, dict):
        raise _unlike(place, written, "a text or an object with string")
    coded = written.get("base64_string")
    if coded is not None:
        try:
            return base64.b64decode(str(coded))
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{place}.base64_string: {error}; expected base64") from error
    text = written.get("string")
    if isinstance(text, dict):
        raise _unlike(f"{place}.string", text, "a text")
    return _encoded(text, str(written.get("encoding") or "utf-8")) if isinstance(text, str) else _body(text, place)


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode("utf-8" if encoding.lower() in _OF_NAMES else encoding)
    except (LookupError, ValueError):
        return text.encode("utf-8", "surrogatepass")


def _unzipped(body: bytes, place: str) -> bytes:
    if not body.startswith(_GZIPPED):
        return body
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as zipped:
            plain = zipped.read(MAX_BODY_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{place}: {error}; expected what gzip wrote, as it begins so") from error
    if len(plain) > MAX_BODY_BYTES:
        raise ValueError(f"{place}: unpacks to more than {MAX_BODY_BYTES} bytes; expected a body that was sent")
    return plain


def _is_timed(each: Mapping[str, Any]) -> bool:
    """Whether an interaction tells when it was recorded, and how long its answer took."""
    answer = each.get("response")
    elapsed = answer.get("elapsed") if isinstance(answer, dict) else 0
    return _number(elapsed) is not None and _moment(each) is not None


def _timed(each: Mapping[str, Any], before_at: float | None) -> Times:
    answer, at = each.get("response") or {}, _moment(each)
    assert at is not None  # _is_timed has seen one
    types = (value for name, value in _each_header(answer.get("headers") or {}) if name.lower() == "content-type")
    streamed = next(types, "").startswith("text/event-stream")
    return times_by_answer(at.timestamp(), _number(answer.get("elapsed")) or 0.0, before_at if streamed else None)


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _apart(number: int) -> Times:
    at = number * _APART_S
    return at, at, at + _APART_S / 2


def _recorded_at(each: Mapping[str, Any]) -> str:
    at = _moment(each)
    # What the first and the last year are in another time zone is no moment that UTC has.
    return har.utc(at) if at and MINYEAR < at.year < MAXYEAR else ""


def _moment(each: Mapping[str, Any]) -> datetime | None:
    """When an interaction was recorded: in ISO 8601, or as HTTP writes it."""
    text = str(each.get("recorded_at") or "")
    for read in (har.moment, parsedate_to_datetime):
        try:
            at = read(text)
        except (ValueError, TypeError, IndexError, OverflowError):  # all of which the second one has for bad dates
            continue
        # Of -0000 it makes a moment of this machine's time zone.
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return None


def _object(values: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    found = values.get(name)
    if not isinstance(found, dict):
        raise _unlike(f"{place}.{name}", found, "an object")
    return found


def _unlike(place: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{place}: is {_kind(value)}; expected {expected}")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "missing"}
    return kinds.get(type(value), f"a {type(value).__name__}")
