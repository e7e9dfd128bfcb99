"""curl commands that repeat a request, with environment variables in place of keys."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType

from touchstone.facts.exchange import Exchange, Request
from touchstone.facts.key_sources import USUAL, KeySources, is_variable

# Keys that a case has altered: a shell expression if the key is in a variable, or a description if it is in a file.
_ALTERED = {
    "longer": ("${%s}x", "<%s>x"),
    "shorter": ("${%s%%?}", "<%s, without its last character>"),
    "headless": ("${%s#?}", "<%s, without its first character>"),
    "recased": ("""$(printf %%s "$%s" | tr 'a-zA-Z' 'A-Za-z')""", "<%s, with upper and lower case exchanged>"),
}
CURL = "curl --silent --show-error --include --path-as-is"
_MARKER = re.compile(r"<(?:key:([a-z0-9-]+)|env:(\w+))>")
_MOST_BODY_BYTES = 4096


def curl(exchange: Exchange, sources: KeySources = USUAL) -> str:
    """Returns a shell command that repeats the request. For a key, it names a variable or a place in the settings."""
    at_once = " --no-buffer" if exchange.operation == "streamBuildEvents" else ""  # each line as it arrives
    return command(exchange.request, sources, CURL + at_once)


def command(
    request: Request, sources: KeySources = USUAL, call: str = CURL, words: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Returns a line of shell that sends *request*.

    *call*: what gets the arguments of curl, curl itself or a function of a script; *words*: shell expressions for
    further placeholders ``<key:name>`` of *request*, by name.
    """
    parts = [call]
    if set("[]{}") & set(request.url):
        parts.append("--globoff")  # otherwise curl expands brackets as ranges
    body = b"" if request.method == "HEAD" else request.body
    if request.method == "HEAD":
        parts.append("--head")
    elif request.method != "GET" or body:
        parts += ["--request", shlex.quote(request.method)]
    parts.append(_quoted(request.url, sources, words))
    for line in _header_lines(request, with_body=bool(body)):
        parts += ["--header", _quoted(line, sources, words)]
    if not body:
        return " ".join(parts)
    most_bytes = len(body) if words else _MOST_BODY_BYTES
    if text := _text(body, sources, words, most_bytes):
        return " ".join([*parts, "--data-raw", text])
    octal = "".join(f"\\{byte:03o}" for byte in body[:most_bytes])
    left_out = f"… ({len(body)} bytes)" if len(body) > most_bytes else ""
    return " ".join(["printf", shlex.quote(octal + left_out), "|", *parts, "--data-binary", "@-"])


def _header_lines(request: Request, *, with_body: bool) -> Iterator[str]:
    names = {name.lower() for name, _ in request.headers}
    for name, value in request.headers:
        if (name.lower(), value) != ("accept", "*/*"):
            yield f"{name}: {value}" if value else f"{name};"
    if with_body and "content-type" not in names:
        yield "Content-Type:"  # otherwise curl sends the media type of a form


def _quoted(text: str, sources: KeySources, words: Mapping[str, str]) -> str:
    """Quotes *text* as one shell word. Variables replace the placeholders of keys."""
    if not _MARKER.search(text):
        return shlex.quote(text)

    def filled(match: re.Match[str]) -> str:
        return f"${match[2]}" if match[2] else words.get(match[1]) or _key(match[1], sources)

    return '"' + _MARKER.sub(filled, _escaped(text)) + '"'


def _escaped(text: str) -> str:
    return re.sub(r'([\\"`$])', r"\\\1", text)


def _key(name: str, sources: KeySources) -> str:
    by_role = asdict(sources)
    if name not in by_role and name not in _ALTERED:
        return "sk_live_" + "0" * 24
    source = by_role.get(name, sources.primary)
    variable, place = _ALTERED.get(name, ("$%s", "<%s>"))
    return variable % source if is_variable(source) else _escaped(place % source)


def _text(body: bytes, sources: KeySources, words: Mapping[str, str], most_bytes: int) -> str | None:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if len(body) > most_bytes:
        return shlex.quote(text[:most_bytes] + f"… ({len(body)} bytes)")
    return None if "\0" in text else _quoted(text, sources, words)
