"""
The command line that sends a request again, with environment variables where the keys were.
"""

import re
import shlex

from touchstone.exchange import Exchange, Request

VARIABLES = {
    "primary": "ORGO_API_KEY",
    "second": "ORGO_SECOND_API_KEY",
    "restricted": "ORGO_RESTRICTED_API_KEY",
}
_MARKER = re.compile(r"<key:([a-z-]+)>")
_SHOWN_BODY_BYTES = 4096


def curl(exchange: Exchange) -> str:
    """
    A shell command that sends the request of *exchange* again.

    Keys appear as environment variables; a key that no account has appears as a made-up one of the same kind.
    """
    return command(exchange.request, stream=exchange.operation == "streamBuildEvents")


def command(request: Request, *, stream: bool = False) -> str:
    """
    A shell command that sends *request*; with *stream* curl prints each line as it arrives.
    """
    parts = ["curl", "--silent", "--show-error", "--include", "--path-as-is"]
    if stream:
        parts.append("--no-buffer")
    if request.method != "GET":
        parts += ["--head"] if request.method == "HEAD" else ["--request", request.method]
    words = [shlex.quote(part) for part in parts]
    words.append(_quoted(request.url))
    for name, value in request.headers:
        if name.lower() in ("authorization", "content-type"):
            words += ["--header", _quoted(f"{name}: {value}")]
    if request.body:
        words += ["--data-binary", _body(request.body)]
    return " ".join(words)


def _quoted(text: str) -> str:
    """
    *text* as one shell word in which a key's marker became a variable.
    """
    if not _MARKER.search(text):
        return shlex.quote(text)
    escaped = re.sub(r'([\\"`$])', r"\\\1", text)
    return '"' + _MARKER.sub(lambda match: _variable(match[1]), escaped) + '"'


def _variable(name: str) -> str:
    if name in VARIABLES:
        return f"${VARIABLES[name]}"
    if name == "longer":
        return "${ORGO_API_KEY}x"
    if name == "shorter":
        return "${ORGO_API_KEY%?}"
    return "sk_live_" + "0" * 24


def _body(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    if len(body) > _SHOWN_BODY_BYTES:
        return shlex.quote(text[:_SHOWN_BODY_BYTES] + f"… ({len(body)} bytes)")
    return _quoted(text)
