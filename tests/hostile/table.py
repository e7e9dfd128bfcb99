"""Expected results by hostile server and command: exit code, and broken claims or parts of the last line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Claims of a check: enough to reach the flaw, and few enough to be fast.
ANSWERS = (
    "http.answers,http.body-is-json,http.no-server-error,http.status-is-documented,http.json-media-type,"
    "status.is-one-of-four,status.body-is-documented"
)
LOGS = "http.answers,events.framing,events.answers-200"


@dataclass(frozen=True, slots=True)
class Expected:
    """Exit code, and in *says* the broken claims for code 1, or parts of the last line for other codes."""

    code: int
    says: tuple[str, ...] = ()

    def differs(self, code: int, last_line: str, broken: tuple[str, ...]) -> str:
        """The difference from the actual result; empty for none."""
        if code != self.code:
            return f"exit {code}, expected {self.code}"
        missing = [word for word in self.says if word not in (broken if code == 1 else last_line)]
        found = ", ".join(broken) if code == 1 else last_line
        return f"expected {', '.join(missing)}; found {found or 'nothing'}" if missing else ""


FINE = Expected(0)


@dataclass(frozen=True, slots=True)
class Row:
    """One flaw with the expected result of each command; *claims* are the globs of a check."""

    name: str
    cells: Mapping[str, Expected]
    claims: str = ANSWERS

    def arguments(self, command: str) -> tuple[str, ...]:
        """Further arguments: a check that is to find a broken claim may stop early."""
        if command != "check":
            return ()
        hasty = ("--max-seconds", "4") if self.cells["check"].code == 1 else ()
        return ("--claims", self.claims, *hasty)


def rows(expected: Expected, *names: str, claims: str = ANSWERS) -> Iterator[Row]:
    """Servers with the same result for every command."""
    return (row(name, expected, claims) for name in names)


def unjudged(says: str, *names: str) -> Iterator[Row]:
    """Servers that cannot be judged: they are not recognised as the API."""
    return rows(Expected(3, (says,)), *names)


def row(name: str, expected: Expected, claims: str = ANSWERS, **others: Expected) -> Row:
    """A server that is judged; *others* are differing results by command."""
    return Row(name, dict.fromkeys(("check", "record", "load"), expected) | others, claims)


def broken(*claims: str) -> Expected:
    """Exit code 1 with these broken claims."""
    return Expected(1, claims)


_CUT, _JSON = broken("http.answers"), broken("http.body-is-json")
_500, _STATUS = broken("http.no-server-error"), broken("http.status-is-documented")
_FRAMING, _BODY = broken("events.framing"), broken("status.body-is-documented")
_LATE, _HEAD, _NO_API = "request_timeout_s = 1", "max_head_bytes = 65536", "not a template build API"
_UNRECORDED = Expected(3, ("missing: fresh-build",))
# Starts that are always refused: a check does not know the reason, a load knows that it was not the load.
# It takes more than one retry to judge whether backing off ends the refusals; a useless wait shows after one.
_SHUT, _UNCLEAR = broken("limit.retry-after-is-honest"), Expected(3, ("indeterminate",))
_KEY = "status.answers-200", "error.does-not-repeat-the-key"

_CONNECTIONS = (
    *unjudged("Connection refused", "refused"),
    *unjudged("Connection reset by peer", "reset-before-head", "reset-within-head"),
    *unjudged("incomplete response", "reset-after-head"),
    *unjudged("without sending a response", "closed-before-head", "half-closed"),
    *unjudged(_LATE, "silent", "byte-a-second"),
    *rows(_CUT, "reset-reads", "reset-within-reads", "half-closed-reads", "silent-reads", "body-byte-a-second"),
    *rows(_CUT, "dies-for-good"),
    *rows(FINE, "closed-at-second"),
    row("keep-alive-closed", FINE, storm=FINE),
    # A start on a persistent connection is not resent, and so gets no response.
    row("reset-at-second", FINE, load=_CUT),
    row("dies-and-returns", _CUT, storm=_CUT),
    row("third-is-500", _500, storm=_500),
    row(
        "swapped-answers",
        broken("start.visible-to-next-read"),
        claims="start.visible-to-next-read,status.ref-is-the-path",
        load=broken("status.ref-is-the-path"),
    ),
)

_HEADS = (
    *unjudged(_HEAD, "endless-head", "endless-fields", "header-of-1mb", "10000-headers", "interim-flood"),
    *unjudged("RemoteProtocolError", "status-000", "http-0.9", "garbage-bytes"),
    *unjudged(_NO_API, "status-999"),
    *rows(_CUT, "header-of-1mb-reads", "5000-headers-reads", "long-reason", "conflicting-lengths", "length-negative"),
    *rows(_CUT, "length-no-number", "length-astronomic", "chunk-size-no-number", "chunk-size-huge", "chunk-too-short"),
    *rows(_CUT, "chunk-without-last", "status-000-reads", "interim-flood-reads", "switches-protocols"),
    *rows(_CUT, "header-of-1mb-streams", claims=LOGS),
    *rows(FINE, "bare-lf", "header-of-60kb", "obs-fold", "length-and-chunked", "http-1.0", "interim-answers"),
    *rows(FINE, "controls-in-header"),
    *rows(_500, "status-999-reads"),
    *rows(_STATUS, "204-with-body"),
    # RFC 9110 8.6 allows recipients either.
    row("same-length-twice", FINE, load=_CUT),
    row("same-length-in-a-list", FINE, load=_CUT),
)

_BODIES = (
    *unjudged("max_body_bytes = 4194304", "body-of-1gb-first"),
    *unjudged("max_body_bytes = 4194304 after decompression", "gzip-bomb-first"),
    *unjudged("max_json_depth = 100", "nested-100000-first"),
    *unjudged("max_json_values = 50000", "many-values-first"),
    *unjudged(_NO_API, "garbage-in-errors"),
    *rows(_CUT, "body-shorter", "body-of-1gb", "gzip-bomb", "deflate-bomb", "gzip-and-more", "gzip-torn"),
    *rows(_CUT, "unknown-encoding", "brotli-unasked", "zstd-unasked"),
    *rows(_CUT, "nested-100000", "nested-100000-objects", "many-values"),
    *rows(FINE, "gzip-unasked", "gzip-twice", "gzip-in-members", "fat-bodies"),
    *rows(_JSON, "invalid-utf8", "bom", "nan", "duplicate-keys", "wrong-charset", "html-as-json"),
    *rows(_BODY, "number-10-to-400", "number-of-100000-digits", "lone-surrogates"),
    *rows(broken("status.answers-200"), "garbage-in-bodies", claims="http.answers,status.answers-200"),
    # A load drops the connection with the extra data; a check reports it.
    row("body-longer", _CUT, load=FINE),
    row("long-bodies", FINE, record=_UNRECORDED),
    row("bodies-of-1mb", FINE, record=_UNRECORDED),
)

_LOGS = (
    *rows(_FRAMING, "log-without-line-ends", "log-invalid-utf8", "log-of-garbage", claims=LOGS),
    *rows(_CUT, "log-line-endless", "log-line-of-100mb", "log-of-comments", "log-of-empty-events", claims=LOGS),
    *rows(_CUT, "log-unanswered", claims=LOGS),
    *rows(FINE, "log-bytewise", claims=LOGS),
    row(
        "log-silent",
        FINE,
        claims="events.framing",
        check=Expected(3, ("events.framing",)),
        load=broken("events.close-at-the-end"),
    ),
)

_DETOURS = (
    *unjudged(_NO_API, "redirect-loop", "redirect-elsewhere", "key-repeated-first"),
    *unjudged("certificate has expired", "tls-expired"),
    *unjudged("CERTIFICATE_VERIFY_FAILED", "tls-self-signed"),
    *unjudged("mismatch", "tls-wrong-host"),
    *unjudged("SSL", "tls-not-spoken"),
    *unjudged("no response", "tls-only"),
    *rows(_STATUS, "redirect-loop-reads", "redirect-elsewhere-reads"),
    *rows(_STATUS, "redirect-elsewhere-streams", claims=ANSWERS + ",events.answers-200"),
    *rows(FINE, "tls-good", "date-years-ahead"),
    *rows(broken(*_KEY), "key-repeated", "key-in-header-names", claims=",".join(_KEY)),
    *rows(_CUT, "key-as-coding", claims="http.answers,error.does-not-repeat-the-key"),
    row("clock-years-ahead", _SHUT, "start.answers-202", check=_UNCLEAR, record=_UNRECORDED, storm=_SHUT),
    row("retry-after-passed", _SHUT, "start.answers-202", check=_UNCLEAR, record=_UNRECORDED),
    row(
        "retry-after-astronomic",
        _UNCLEAR,
        "start.answers-202",
        record=_UNRECORDED,
        load=Expected(3, ("limit.ends-after-back-off",)),
    ),
)

ROWS: tuple[Row, ...] = (*_CONNECTIONS, *_HEADS, *_BODIES, *_LOGS, *_DETOURS)


def cells() -> Iterator[tuple[Row, str]]:
    """The cells of the table."""
    return ((row, command) for row in ROWS for command in row.cells)
