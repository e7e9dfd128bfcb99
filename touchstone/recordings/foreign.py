"""Recordings that others made: HAR files of browsers and proxies, VCR cassettes of schemathesis and its like.

They hold more than the API, and less than all that was done with it. What is no exchange with the API, or does not say
what was answered, or to whom, is left out and counted. See `unseen.py` for what may be concluded from the rest.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

from touchstone.contract.document import EVENT_STREAM, Contract
from touchstone.facts.exchange import Chunk, Credential, Exchange, Request
from touchstone.recordings import foreign_har, foreign_vcr
from touchstone.recordings import har as own
from touchstone.recordings.cleaning import cleaned
from touchstone.recordings.foreign_api import Asked, asked, base_of, is_http
from touchstone.recordings.foreign_entry import Entry
from touchstone.recordings.foreign_keys import Unknown, Whose, shown_elsewhere
from touchstone.recordings.foreign_secrets import Marks
from touchstone.recordings.foreign_story import ACCOUNTS, given, noted, published_ref
from touchstone.recordings.recording import BASE_URL, Origin, Owner, Recording, Terms
from touchstone.rules.eventlog import log_of

_CHANGING = frozenset({"publishTemplate", "deleteTemplate", "startBuild", "cancelBuild"})
_ENDS_OF_FRAME = (b"\n\n", b"\r\r", b"\r\n\r\n")


def har(document: dict[str, Any], name: str, path: str, contract: Contract) -> Recording:
    """The exchanges with the API in a document that has the form of a HAR.

    Raises:
        ValueError: something in it cannot be read; the text names it by its JSON pointer.
    """
    return _recording(foreign_har.entries(document), "har", name, path, contract)


def vcr(text: str, name: str, path: str, contract: Contract) -> Recording:
    """The exchanges with the API in a cassette, in YAML or JSON.

    Raises:
        ValueError: it is none; the text names the place.
    """
    entries, recorded_at = foreign_vcr.entries(text)
    return _recording(entries, "vcr", name, path, contract, recorded_at)


def _recording(
    entries: Sequence[Entry], origin: Origin, name: str, path: str, contract: Contract, recorded_at: str | None = None
) -> Recording:
    """What is ours of the entries of a file.

    Args:
        recorded_at: When it was recorded, where the entries do not tell it.
    """
    left_out: Counter[str] = Counter()
    ours = _ours(entries, contract, left_out)
    whose = Whose(ours)
    # What is left out may show a key or a cookie that an answer repeats which is kept.
    named = whose.keys()
    marks = Marks((*named, *shown_elsewhere(entries, {key for _, key in named})), entries)
    kept: list[tuple[Asked, Credential]] = []
    for one in sorted(ours, key=lambda one: (one.entry.sent_at, one.entry.done_at)):
        credential = whose.credential(one)
        if isinstance(credential, Unknown):
            left_out[credential.value] += 1
        else:
            kept.append((one, credential))
    began_at = kept[0][0].entry.sent_at if kept else 0.0
    read = [_exchange(one, credential, number, began_at) for number, (one, credential) in enumerate(kept, 1)]
    exchanges = noted([cleaned(marks.mark(exchange), {}) for exchange in read])
    if recorded_at is None:
        recorded_at = own.utc(datetime.fromtimestamp(began_at, UTC)) if kept else ""
    seen = {ACCOUNTS.get(exchange.credential) for exchange in exchanges}
    terms = Terms(keys=tuple(role for role in get_args(Owner) if role in seen), given=given(exchanges))
    return Recording(name, exchanges, origin, path, recorded_at, terms=terms, left_out=dict(left_out))


def _ours(entries: Sequence[Entry], contract: Contract, left_out: Counter[str]) -> list[Asked]:
    """The requests to the API that a server was sent."""
    base = base_of((entry for entry in entries if not entry.left_out), contract)
    ours: list[Asked] = []
    for entry in entries:
        one = asked(entry, base, contract) if base else None
        if one is None:
            left_out["of another API" if is_http(entry.url) else "not over HTTP"] += 1
        elif entry.left_out:
            left_out[entry.left_out] += 1
        elif entry.unknown and not _may_have_acted(one):
            left_out[entry.unknown] += 1
        else:
            ours.append(_of_publish(one) if one.operation == "publishTemplate" else one)
    return ours


def _may_have_acted(one: Asked) -> bool:
    """
    Whether a request whose answer nobody knows may have changed something: what follows it can be understood only so.
    """
    return one.operation in _CHANGING and not 400 <= one.entry.status < 500


def _of_publish(one: Asked) -> Asked:
    response = one.entry.response
    answer = (response.json_object() if response else None) or {}
    return replace(one, ref=published_ref(one.entry.body, answer))


def _exchange(one: Asked, credential: Credential, seq: int, began_at: float) -> Exchange:
    """The exchange with all that is secret in it."""
    entry, response = one.entry, one.entry.response
    streamed = response is not None and (response.header("content-type") or "").lower().startswith(EVENT_STREAM)
    if response and streamed and response.body:
        response = replace(response, chunks=(Chunk(round(entry.done_at - entry.sent_at, 6), response.body),))
    exchange = Exchange(
        seq=seq,
        operation=one.operation,
        ref=one.ref,
        credential=credential,
        case="",
        sent_at=round(entry.sent_at - began_at, 6),
        head_at=round(entry.head_at - began_at, 6),
        done_at=round(entry.done_at - began_at, 6),
        request=Request(entry.method, BASE_URL + one.target, entry.headers, entry.body),
        response=response,
        error=entry.error or entry.unknown,
    )
    if response is None:
        # Nobody is to blame for what the client did not wait for, or did not write down.
        return replace(exchange, closed="client" if entry.unknown else "")
    if not streamed or exchange.error:
        return exchange
    return replace(exchange, closed="server" if _is_whole(exchange, entry) else "client")


def _is_whole(exchange: Exchange, entry: Entry) -> bool:
    """Whether the server ended a stream. Where the file does not tell that, a log does by its last frame."""
    body, log = exchange.response.body if exchange.response else b"", log_of(exchange)
    told = entry.ended == "server" or bool(entry.ended == "untold" and log and log.ended)
    return told and (not body or body.endswith(_ENDS_OF_FRAME))
