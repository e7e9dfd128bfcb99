"""Judges what an error says: its shape, what it gives away, and what a wrong document is told."""

import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from touchstone.facts.exchange import Exchange, Response
from touchstone.facts.finding import Judgement
from touchstone.rules.answers import announces_json, error_problem, json_problem, told
from touchstone.rules.history import History
from touchstone.rules.requests import asks_for_another_method, operation_of, spelling
from touchstone.rules.rule import Rule, broken, held, judged, rule, shown, unclear

# What a stack trace looks like in the languages that servers are written in.
_TRACES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"Traceback \(most recent call last\)",
        r"""^[ \t]*File ["'][^"'\n]+["'], line \d+""",
        r"^[ \t]+at [\w.$<>]+\([\w$]+\.(?:java|kt|scala):\d+\)",
        r"^[ \t]+at .{0,200}\(?(?:/|file://|node:|webpack)[^\s()]*:\d+:\d+\)?",
        r"^[ \t]+at [\w.`<>\[\], ]+\(.{0,200}\) in .{1,200}:line \d+",
        r"^goroutine \d+ \[\w",
        r"^thread '[^']*' (?:\(\d+\) )?panicked at ",
        r"^[ \t]*(?:from )?/\S+\.rb:\d+:in ",
        r"^#\d+ /\S+\.php\(\d+\)",
    )
)
_TAG = re.compile(r"<[^<>]{0,200}>")

_SEARCHED_BYTES = 262_144

# Answers that quote what a user wrote or what a build printed, so a trace in them need not be the server's.
_QUOTING = frozenset({"streamBuildEvents", "getTemplate"})


@rule("refusals.shape", "error.has-the-documented-shape")
def error_shape(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges the body of each documented error; 429, 5xx and broken JSON have claims of their own."""
    response = exchange.response
    if response is None or not _is_documented_error(exchange, history):
        return
    if announces_json(response) and response.body and json_problem(response.body):
        return
    problem = error_problem(response)
    if problem and _is_other_shape(exchange):
        return
    expected = "a JSON object with a text in error"
    yield judged("error.has-the-documented-shape", not problem, exchange, expected=expected, actual=problem)


@rule("refusals.fields", "error.request-id-is-a-string", "error.has-no-upstream-status")
def error_fields(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges the fields beside error. A null is no text; of what is not to be there it is as good as nothing."""
    body = exchange.body
    if exchange.status < 400 or not exchange.operation or not body:
        return
    if "request_id" in body:
        found = body["request_id"]
        claim = "error.request-id-is-a-string"
        yield judged(claim, isinstance(found, str), exchange, expected="a text", actual=f"request_id {shown(found)}")
    found = body.get("upstream_status")
    claim = "error.has-no-upstream-status"
    yield judged(claim, found is None, exchange, expected="no upstream_status", actual=f"upstream_status {found!r}")


@rule("refusals.key", "error.does-not-repeat-the-key")
def key_not_repeated(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges that no answer holds a key; whatever was one is a marker by now."""
    response = exchange.response
    if response is None or exchange.credential == "none":
        return
    claim = "error.does-not-repeat-the-key"
    name = next((key for key, value in response.headers if "<key:" in key or "<key:" in value), "")
    if name or b"<key:" in response.body:
        where = f"the header {name}" if name else "the body"
        yield broken(claim, exchange, expected="no key in an answer", actual=f"a key in {where}: {told(exchange)}")
    else:
        yield held(claim, exchange)


@rule("refusals.internals", "error.shows-no-internals")
def no_internals(exchange: Exchange, history: History) -> Iterator[Judgement]:
    """Judges that no answer shows a stack trace; errors are the occasions on which one would appear."""
    response = exchange.response
    if response is None or (response.status < 400 and _quotes_others(exchange, history)):
        return
    claim = "error.shows-no-internals"
    trace = _trace(response)
    if trace and not _sent(trace, exchange):
        yield broken(claim, exchange, expected="no stack trace", actual=f"{response.status} with {shown(trace)}")
    elif response.status >= 400:
        yield held(claim, exchange)


@rule("refusals.document", "publish.empty-is-400", "publish.unparsable-is-400", "publish.invalid-is-422")
def wrong_document(exchange: Exchange, _: History) -> Iterator[Judgement]:
    """Judges the answer to a document that is wrong on purpose."""
    claims = {
        "empty": "publish.empty-is-400",
        "unparsable": "publish.unparsable-is-400",
        "schema": "publish.invalid-is-422",
    }
    claim = claims.get(exchange.note.get("invalid", ""))
    if claim is None or exchange.operation != "publishTemplate" or exchange.credential not in {"primary", "second"}:
        return
    if exchange.response is None or exchange.status == 401:
        return
    if exchange.status == 429:
        yield unclear(claim, exchange, why="a limit got in the way")
    elif claim == "publish.invalid-is-422":
        fits = exchange.status == 422 and _lists_errors(exchange)
        expected = "422 with errors, each with field, code and message"
        yield judged(claim, fits, exchange, expected=expected, actual=told(exchange))
    else:
        yield judged(claim, exchange.status == 400, exchange, expected="400", actual=told(exchange))


def _is_documented_error(exchange: Exchange, history: History) -> bool:
    operation = operation_of(exchange, history.contract)
    if exchange.status == 405 and asks_for_another_method(exchange, history.contract):
        return True
    if operation is None or not 400 <= exchange.status < 500 or exchange.status == 429 or exchange.error:
        return False
    # What a server answers before a request reaches the API (414, 431, a path taken apart) is not the API's error.
    documented = exchange.status in history.contract.allowed_statuses(operation.id)
    return documented and spelling(exchange, history.contract) != "misshapen"


def _is_other_shape(exchange: Exchange) -> bool:
    """Whether the answer may have another body than error.

    A cancel with nothing to cancel says so in status (facts 7.15), which has a claim of its own; a document is told
    what is wrong with it in errors (facts 7.39).
    """
    if exchange.operation == "cancelBuild":
        return exchange.status == 404 and isinstance(exchange.body.get("status"), str)
    return exchange.operation == "publishTemplate" and exchange.status == 422 and bool(exchange.body.get("errors"))


def _lists_errors(exchange: Exchange) -> bool:
    errors = exchange.body.get("errors")
    return isinstance(errors, list) and bool(errors) and all(_is_entry(entry) for entry in errors)


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("field", "code", "message"))


def _quotes_others(exchange: Exchange, history: History) -> bool:
    return exchange.operation in _QUOTING or exchange.ref in history.given


def _trace(response: Response) -> str:
    found = (pattern.search(text) for text in _texts(response) for pattern in _TRACES)
    return next((match.group(0).strip() for match in found if match), "")


def _texts(response: Response) -> Iterator[str]:
    """The texts of an answer as a person would read them: those within its JSON, or those between its tags."""
    try:
        waiting = [response.json()]
    except (ValueError, RecursionError):
        text = response.body[:_SEARCHED_BYTES].decode("utf-8", "replace")
        yield html.unescape(text)
        yield html.unescape(_TAG.sub("\n", text))
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value[:_SEARCHED_BYTES]
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _sent(text: str, exchange: Exchange) -> bool:
    request = exchange.request
    return text in unquote(request.url) or text in request.body.decode("utf-8", "replace")


RULES: tuple[Rule[Exchange], ...] = (error_shape, error_fields, key_not_repeated, no_internals, wrong_document)
