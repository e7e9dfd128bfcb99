"""Recordings of ours and of others, the ledger of claims, the contract."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any, get_args

import yaml

from tests import foreign_files
from tests.foreign_files import HarEntry
from tests.fuzz.steps import JSON, SECRET, YAML
from tests.fuzz.target import Target, check_message, file
from touchstone.contract import claims
from touchstone.contract.document import Contract
from touchstone.contract.files import openapi_dir, recordings_dir
from touchstone.contract.parsing import read_yaml
from touchstone.errors import ContractError, RecordingError
from touchstone.facts.exchange import Closed, Credential, Exchange, Response
from touchstone.recordings import har, reader
from touchstone.recordings.recording import Recording

Headers = tuple[tuple[str, str], ...]
_COOKIE = "abcdefghijklmnop1234"
_SEED_SECRETS = (foreign_files.KEY, foreign_files.OTHER_KEY, foreign_files.WRONG_KEY, _COOKIE)
# What stands before a key or a cookie in the headers for such.
_BEFORE = {"authorization": r"(?:\S+ )?", "proxy-authorization": r"(?:\S+ )?", "cookie": "session="}


def check_har(data: bytes) -> None:
    """What is read of a HAR file has the types of facts and no key, and what is ours is written as read."""
    path = file("page.har", data)
    try:
        recording = reader.read(path)
    except RecordingError as error:
        check_message(error, f"{path}: ", {SECRET})
        return
    assert all(map(_is_fact, recording.exchanges))
    assert [one.seq for one in recording.exchanges] == sorted({one.seq for one in recording.exchanges})
    if recording.origin != "touchstone":
        left = [secret for secret in _published(data) if secret in repr(recording)]
        assert not left, left
        return
    once = _again(recording)
    assert _again(once) == once
    assert [_bare(one) for one in once.exchanges] == [_bare(one) for one in recording.exchanges]
    times = [[at for one in each.exchanges for at in _times(one)] for each in (once, recording)]
    assert all(math.isclose(*pair, rel_tol=1e-9, abs_tol=1e-5) for pair in zip(*times, strict=True))


def _published(data: bytes) -> set[str]:
    """What of the seeds' keys and cookies stands in the headers for such things of requests to the API."""
    paths = (f"{foreign_files.API}{foreign_files.PATH}/build", f"{foreign_files.API}/templates?")
    try:
        document = read_yaml(data)
        requests = [entry["request"] for entry in document.get("log", document)["entries"]]
        requests = [one for one in requests if str(one.get("url")).startswith(paths)]
        headers = [(h["name"], str(h["value"])) for one in requests for h in one["headers"]]
    except Exception:  # noqa: BLE001 - it was read otherwise, or in another way
        return set()
    return {
        secret
        for name, value in headers
        for secret in _SEED_SECRETS
        if (before := _BEFORE.get(name.lower())) and re.fullmatch(before + re.escape(secret), value)
    }


def _is_fact(exchange: Exchange) -> bool:
    sent, got = exchange.request, exchange.response or Response(0)
    texts = (exchange.operation, exchange.case, exchange.error, exchange.ref or "", sent.method, sent.url)
    types = {str: (*texts, *chain(*sent.headers, *got.headers)), bytes: (sent.body, got.body), float: _times(exchange)}
    types[int] = (exchange.seq, got.status)
    return (
        all(type(value) is kind for kind, values in types.items() for value in values)
        and all(map(math.isfinite, _times(exchange)))
        and exchange.credential in get_args(Credential)
        and exchange.closed in get_args(Closed)
    )


def _times(exchange: Exchange) -> tuple[float, ...]:
    chunks = exchange.response.chunks if exchange.response else ()
    return (exchange.sent_at, exchange.head_at, exchange.done_at, *(chunk.at_s for chunk in chunks))


def _bare(exchange: Exchange) -> Exchange:
    """Without what a recording rounds, and with headers in the order in which it writes them."""
    bare = with_sorted_headers(exchange)
    response = bare.response and replace(bare.response, chunks=())
    return replace(bare, response=response, sent_at=0.0, head_at=0.0, done_at=0.0)


def with_sorted_headers(exchange: Exchange) -> Exchange:
    def by_name(headers: Headers) -> Headers:
        return tuple(sorted(headers, key=lambda pair: pair[0].lower()))

    request, response = exchange.request, exchange.response
    response = response and replace(response, headers=by_name(response.headers))
    return replace(exchange, request=replace(request, headers=by_name(request.headers)), response=response)


def _again(recording: Recording) -> Recording:
    path = file("again.har", har.render(recording).encode("utf-8", "surrogatepass"))
    return replace(har.decode(json.loads(path.read_text("utf-8", "surrogatepass"))), path=recording.path)


@cache
def own_recordings() -> Sequence[bytes]:
    found = []
    for name in ("events-ready", "cancel-in-flight", "missing-key"):
        document = json.loads((recordings_dir() / f"{name}.har").read_text("utf-8"))
        entries = document["log"]["entries"]
        log = next((one for one in entries if "_chunks" in one["response"]), entries[-1])
        document["log"]["entries"] = [entries[0], log]
        found.append(json.dumps(document).encode())
    return found


@cache
def foreign_hars() -> Sequence[bytes]:
    pages = []
    for writer in ("WebInspector", "mitmproxy", "harfile"):
        page = [
            *foreign_files.page()[:4],
            HarEntry(at=9.0, key=foreign_files.OTHER_KEY, headers={"Cookie": f"session={_COOKIE}"}),
            foreign_files.status_read("ready", 9.5, key=foreign_files.WRONG_KEY),
            HarEntry(
                at=9.7, status=404, path=f"{foreign_files.BUILD}?who={foreign_files.KEY}",
                answer={"error": f"{foreign_files.KEY} is not %73k_live_other_0123456789"},
                response={"headers": [{"name": "Location", "value": f"https://h/?a={foreign_files.KEY}"}]},
            ),
            HarEntry(url="https://elsewhere.test/x", at=10.0, text="x", kind="text/plain"),
        ]  # fmt: skip
        pages.append(json.dumps(foreign_files.document(*page, writer=writer)).encode())
    return pages


def hars() -> Sequence[bytes]:
    return (*own_recordings(), *foreign_hars())


def check_claims(data: bytes) -> None:
    """A ledger is read or refused with its place; of what is read, each claim can be asked for."""
    path = file("claims.yaml", data)
    try:
        ledger = claims.load(path)
    except ContractError as error:
        check_message(error, f"{path}: ")
        return
    rows = (*ledger.judged(), *ledger.judged("load"), *ledger.excluded())
    assert {row.id for row in rows} == set(ledger)
    for row in rows:
        assert ledger.explain(row.id) == row
        assert row.subject


def ledgers() -> Sequence[bytes]:
    rows: list[dict[str, Any]] = [
        {"id": "start.answers-202", "level": "must", "says": "A start is answered with 202.", "source": "build#intro"},
        {"id": "a.b", "level": "should", "says": "x", "source": "y", "needs": ["second", "publish"], "by": "load"},
        {"id": "page.words", "says": "x", "source": "y", "excluded": "Nobody can tell."},
    ]
    return (yaml.safe_dump({"claims": rows}, sort_keys=False).encode(), json.dumps({"claims": rows}).encode())


def check_contract(data: bytes) -> None:
    """A contract is read or refused with its place; what is read can judge answers."""
    try:
        contract = Contract(data, "builds.yaml")
    except ContractError as error:
        check_message(error, "builds.yaml")
        return
    for name, operation in contract.operations.items():
        contract.match(operation.method, operation.path.replace("{", "").replace("}", ""))
        for status in contract.allowed_statuses(name):
            for body in (b'{"status": "ready", "a": [1, "x"]}', b'data: {"ts": 1, "level": "x"}\n\n', b"\xff"):
                for problem in contract.problems(name, status, body):
                    assert isinstance(str(problem), str)


@cache
def contracts() -> Sequence[bytes]:
    document = yaml.safe_load((openapi_dir() / "builds.yaml").read_text("utf-8"))
    log = {"type": "object", "required": ["ts"], "properties": {"ts": {"type": "string", "format": "date-time"}}}
    data = {"type": "string", "contentSchema": {"$ref": "#/components/schemas/L"}}
    frame = {"type": "object", "properties": {"data": data}}
    status = {"type": "object", "properties": {"status": {"enum": ["ready", "failed"]}, "n": {"pattern": "^[a-z]+$"}}}
    read = {"operationId": "getB", "tags": ["b"], "responses": {"200": _answer("application/json", status)}}
    follow = {"operationId": "logB", "responses": {"200": _answer("text/event-stream", frame)}}
    paths = {"/b/{name}": {"get": read}, "/b/{name}/events": {"get": follow}}
    small = {"openapi": "3.1.0", "paths": paths, "components": {"schemas": {"L": log}}}
    kept = {path: item for path, item in document["paths"].items() if path.endswith(("build", "events"))}
    return (yaml.safe_dump(small).encode(), json.dumps({**document, "paths": kept}, default=str).encode())


def _answer(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "x", "content": {kind: {"schema": schema}}}


TARGETS = (
    Target("har", check_har, hars, JSON),
    Target("claims", check_claims, ledgers, YAML, most_bytes=4096),
    Target("contract", check_contract, contracts, YAML),
)
