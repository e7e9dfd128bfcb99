"""What each command says to each hostile server: exit code, and the claims that it finds broken or what it tells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# What a check looks at: enough to meet the misbehaviour, and little enough to be over soon.
ANSWERS = (
    "http.answers,http.body-is-json,http.no-server-error,http.status-is-documented,http.json-media-type,"
    "status.is-one-of-four,status.body-is-documented"
)
LOGS = "http.answers,events.framing,events.answers-200"


@dataclass(frozen=True, slots=True)
class Expected:
    """How a command ends.

    Attributes:
        code: Its exit code.
        says: With 1, claims that are found broken, each of them; otherwise what its last line tells.
    """

    code: int
    says: tuple[str, ...] = ()

    def differs(self, code: int, last_line: str, broken: tuple[str, ...]) -> str:
        """How something else is; empty where it is as expected."""
        if code != self.code:
            return f"exit {code}, expected {self.code}"
        missing = [word for word in self.says if word not in (broken if code == 1 else last_line)]
        found = ", ".join(broken) if code == 1 else last_line
        return f"expected {', '.join(missing)}; found {found or 'nothing'}" if missing else ""

    def __str__(self) -> str:
        told = ", ".join(self.says)
        return f"exit {self.code}" + (f": {told}" if told else "")


FINE = Expected(0)


@dataclass(frozen=True, slots=True)
class Row:
    """One misbehaviour, and what is expected of the commands that are run against it.

    Attributes:
        claims: Globs of what a check looks at.
    """

    name: str
    cells: Mapping[str, Expected]
    claims: str = ANSWERS

    def arguments(self, command: str) -> tuple[str, ...]:
        """What a command is told besides its target: a check that has found what there is to find need not go on."""
        if command != "check":
            return ()
        hasty = ("--max-seconds", "4") if self.cells["check"].code == 1 else ()
        return ("--claims", self.claims, *hasty)


def unjudged(name: str, says: str) -> Row:
    """A server that cannot be judged, because nobody can tell that it is the API."""
    return Row(name, dict.fromkeys(("check", "record", "load"), Expected(3, (says,))))


def row(name: str, all_of_them: Expected, claims: str = ANSWERS, **others: Expected) -> Row:
    """A server that is judged; commands that end otherwise are named."""
    return Row(name, dict.fromkeys(("check", "record", "load"), all_of_them) | others, claims)


def broken(*claims: str) -> Expected:
    """Claims are found broken."""
    return Expected(1, claims)


_CUT = broken("http.answers")
_JSON = broken("http.body-is-json")

_500 = broken("http.no-server-error")
_LATE = "request_timeout_s = 1"
_HEAD = "max_head_bytes = 65536"
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_NOBODY = "Connection refused"
_UNRECORDED = Expected(3, ("missing: fresh-build",))
# Starts that are refused whenever they are asked: a check cannot tell why, a load knows that it was not the load.
# Whether backing off ends it is known only where a client came back more than once; a wait that was no use, after one.
_SHUT, _UNCLEAR = broken("limit.retry-after-is-honest"), Expected(3, ("indeterminate",))

_CONNECTIONS = (
    unjudged("refused", _NOBODY),
    unjudged("reset-before-head", "Connection reset by peer"),
    unjudged("reset-within-head", "Connection reset by peer"),
    unjudged("reset-after-head", "no whole answer"),
    row("reset-reads", _CUT),
    row("reset-within-reads", _CUT),
    unjudged("closed-before-head", "without sending a response"),
    unjudged("half-closed", "without sending a response"),
    row("half-closed-reads", _CUT),
    unjudged("silent", _LATE),
    row("silent-reads", _CUT),
    unjudged("byte-a-second", _LATE),
    row("body-byte-a-second", _CUT),
    row("keep-alive-closed", FINE, storm=FINE),
    row("closed-at-second", FINE),
    # A start on a kept-up connection is not sent twice, and so it stays unanswered.
    row("reset-at-second", FINE, load=_CUT),
    row("dies-and-returns", _CUT, storm=_CUT),
    row("dies-for-good", _CUT),
    row("third-is-500", _500, storm=_500),
    row(
        "swapped-answers",
        broken("status.ref-is-the-path"),
        claims="start.visible-to-next-read,status.ref-is-the-path",
        check=broken("start.visible-to-next-read"),
        record=broken("start.visible-to-next-read"),
    ),
)

_HEADS = (
    unjudged("endless-head", _HEAD),
    unjudged("endless-fields", _HEAD),
    unjudged("header-of-1mb", _HEAD),
    row("header-of-1mb-reads", _CUT),
    unjudged("10000-headers", _HEAD),
    row("5000-headers-reads", _CUT),
    row("header-of-1mb-streams", _CUT, claims=LOGS),
    row("long-reason", _CUT),
    row("bare-lf", FINE),
    row("header-of-60kb", FINE),
    row("obs-fold", FINE),
    # RFC 9110 8.6 lets whoever reads choose.
    row("same-length-twice", FINE, load=_CUT),
    row("same-length-in-a-list", FINE, load=_CUT),
    row("conflicting-lengths", _CUT),
    row("length-and-chunked", FINE),
    row("length-negative", _CUT),
    row("length-no-number", _CUT),
    row("length-astronomic", _CUT),
    row("chunk-size-no-number", _CUT),
    row("chunk-size-huge", _CUT),
    row("chunk-too-short", _CUT),
    row("chunk-without-last", _CUT),
    unjudged("status-000", "RemoteProtocolError"),
    unjudged("status-999", "not a template build API"),
    row("status-000-reads", _CUT),
    row("status-999-reads", _500),
    row("http-1.0", FINE),
    unjudged("http-0.9", "RemoteProtocolError"),
    unjudged("garbage-bytes", "RemoteProtocolError"),
    row("interim-answers", FINE),
    unjudged("interim-flood", _HEAD),
    row("interim-flood-reads", _CUT),
    row("switches-protocols", _CUT),
    row("204-with-body", broken("http.status-is-documented")),
    row("controls-in-header", FINE),
)

_BODIES = (
    row("body-shorter", _CUT),
    # A load leaves the connection with what is too much on it; a check tells it.
    row("body-longer", _CUT, load=FINE),
    row("body-of-1gb", _CUT),
    unjudged("body-of-1gb-first", "max_body_bytes = 4194304"),
    row("gzip-bomb", _CUT),
    unjudged("gzip-bomb-first", "max_body_bytes = 4194304 once it is unpacked"),
    row("deflate-bomb", _CUT),
    row("gzip-unasked", FINE),
    row("gzip-twice", FINE),
    row("gzip-in-members", FINE),
    row("gzip-and-more", _CUT),
    row("gzip-torn", _CUT),
    row("unknown-encoding", _CUT),
    row("brotli-unasked", _CUT),
    row("zstd-unasked", _CUT),
    row("invalid-utf8", _JSON),
    row("bom", _JSON),
    row("nan", _JSON),
    row("number-10-to-400", broken("status.body-is-documented")),
    row("number-of-100000-digits", broken("status.body-is-documented")),
    row("nested-100000", _CUT),
    row("nested-100000-objects", _CUT),
    unjudged("nested-100000-first", "max_json_depth = 100"),
    row("many-values", _CUT),
    row("long-bodies", FINE, record=_UNRECORDED),
    unjudged("many-values-first", "max_json_values = 50000"),
    row("fat-bodies", FINE),
    row("duplicate-keys", _JSON),
    row("wrong-charset", _JSON),
    row("html-as-json", _JSON),
    row("garbage-in-bodies", broken("status.answers-200"), claims="http.answers,status.answers-200"),
    unjudged("garbage-in-errors", "not a template build API"),
    row("bodies-of-1mb", FINE, record=_UNRECORDED),
    row("lone-surrogates", broken("status.body-is-documented")),
)

_LOGS = (
    row("log-without-line-ends", broken("events.framing"), claims=LOGS),
    row("log-line-endless", _CUT, claims=LOGS),
    row("log-line-of-100mb", _CUT, claims=LOGS),
    row("log-of-comments", _CUT, claims=LOGS),
    row("log-of-empty-events", _CUT, claims=LOGS),
    row(
        "log-silent",
        FINE,
        claims="events.framing",
        check=Expected(3, ("events.framing",)),
        load=broken("events.close-at-the-end"),
    ),
    row("log-unanswered", _CUT, claims=LOGS),
    row("log-bytewise", FINE, claims=LOGS),
    row("log-invalid-utf8", broken("events.framing"), claims=LOGS),
    row("log-of-garbage", broken("events.framing"), claims=LOGS),
)

_DETOURS = (
    unjudged("redirect-loop", "not a template build API"),
    row("redirect-loop-reads", broken("http.status-is-documented")),
    unjudged("redirect-elsewhere", "not a template build API"),
    row("redirect-elsewhere-reads", broken("http.status-is-documented")),
    row("redirect-elsewhere-streams", broken("http.status-is-documented"), claims=ANSWERS + ",events.answers-200"),
    unjudged("tls-expired", "certificate has expired"),
    unjudged("tls-self-signed", _UNTRUSTED),
    unjudged("tls-wrong-host", "mismatch"),
    row("tls-good", FINE),
    unjudged("tls-not-spoken", "SSL"),
    unjudged("tls-only", "no answer"),
    row("clock-years-ahead", _SHUT, "start.answers-202", check=_UNCLEAR, record=_UNRECORDED, storm=_SHUT),
    row("retry-after-passed", _SHUT, "start.answers-202", check=_UNCLEAR, record=_UNRECORDED),
    row(
        "retry-after-astronomic",
        Expected(3, ("limit.ends-after-back-off",)),
        "start.answers-202",
        check=_UNCLEAR,
        record=_UNRECORDED,
    ),
    row("date-years-ahead", FINE),
    row(
        "key-repeated",
        broken("status.answers-200", "error.does-not-repeat-the-key"),
        claims="status.answers-200,error.does-not-repeat-the-key",
    ),
    unjudged("key-repeated-first", "not a template build API"),
    row(
        "key-in-header-names",
        broken("status.answers-200", "error.does-not-repeat-the-key"),
        claims="status.answers-200,error.does-not-repeat-the-key",
    ),
    row("key-as-coding", _CUT, claims="http.answers,error.does-not-repeat-the-key"),
)

ROWS: tuple[Row, ...] = (*_CONNECTIONS, *_HEADS, *_BODIES, *_LOGS, *_DETOURS)


def cells(*, brief: bool = False) -> Iterator[tuple[Row, str]]:
    """The cells of the table.

    Args:
        brief: Leaves out record in every other row, and load in the others: with a check, either meets each server.
    """
    for number, row in enumerate(ROWS):
        left_out = ("record", "load")[number % 2] if brief else ""
        yield from ((row, command) for command in row.cells if command != left_out)
