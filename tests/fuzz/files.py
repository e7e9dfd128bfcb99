"""Recordings of ours and of others, the ledger of claims, the contract."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, get_args

import yaml

from tests import foreign_files
from tests.fuzz.steps import JSON, SECRET, YAML
from tests.fuzz.target import Target, file, well_said
from touchstone.contract import claims
from touchstone.contract.document import Contract
from touchstone.contract.files import openapi_dir, recordings_dir
from touchstone.contract.parsing import read_yaml
from touchstone.errors import ContractError, RecordingError, UsageError
from touchstone.facts.exchange import Closed, Credential, Exchange, Response
from touchstone.recordings import har, reader
from touchstone.recordings.recording import Recording

_BEARER = re.compile(r"Bearer ([\w.~+/-]{12,})")
_COOKIE = re.compile(r"session=(\w{16,})")
# What stands before a key or a cookie in the headers for such.
_BEFORE = {"authorization": r"(?:\S+ )?", "proxy-authorization": r"(?:\S+ )?", "cookie": "session="}

# --- recordings ------------------------------------------------------------------------------------------------------


def check_har(data: bytes) -> None:
    """
    A HAR file is read or refused; what is read has the types of facts and no key, and what is ours is written as read.
    """
    recording = _read("page.har", data)
    if recording is not None and recording.origin == "touchstone":
        once = _again(recording)
        assert _again(once) == once
        assert [_bare(one) for one in once.exchanges] == [_bare(one) for one in recording.exchanges]
        times = [[at for one in each.exchanges for at in _times(one)] for each in (once, recording)]
        assert all(math.isclose(*pair, rel_tol=1e-9, abs_tol=1e-5) for pair in zip(*times, strict=True))


def _read(name: str, data: bytes) -> Recording | None:
    path = file(name, data)
    try:
        recording = reader.read(path)
    except RecordingError as error:
        well_said(error, f"{path}: ", {SECRET})
        return None
    assert all(map(_is_fact, recording.exchanges))
    assert [one.seq for one in recording.exchanges] == sorted({one.seq for one in recording.exchanges})
    if recording.origin != "touchstone":
        left = [secret for secret in _shown(data) if secret in repr(recording)]
        assert not left, left
    return recording


@cache
def _seed_secrets() -> frozenset[str]:
    text = "\n".join(seed.decode() for seed in foreign_hars())
    return frozenset({*_BEARER.findall(text), *_COOKIE.findall(text)})


def _shown(data: bytes) -> set[str]:
    """What of the seeds' keys and cookies stands in the headers for such things of requests to the API."""
    try:
        document = read_yaml(data)
        log = document.get("log", document)
        requests = [entry["request"] for entry in log["entries"]]
        headers = [(h["name"], str(h["value"])) for one in requests if _is_ours(one) for h in one["headers"]]
    except Exception:  # noqa: BLE001 - it was read otherwise, or in another way
        return set()
    return {
        secret
        for name, value in headers
        for secret in _seed_secrets()
        if (before := _BEFORE.get(name.lower())) and re.fullmatch(before + re.escape(secret), value)
    }


def _is_ours(request: dict[str, Any]) -> bool:
    url = str(request.get("url"))
    return url.startswith((f"{foreign_files.API}{foreign_files.PATH}/build", f"{foreign_files.API}/templates?"))


def _is_fact(exchange: Exchange) -> bool:
    sent, got = exchange.request, exchange.response or Response(0)
    texts = (exchange.operation, exchange.case, exchange.error, exchange.ref or "", sent.method, sent.url)
    pairs = (*sent.headers, *got.headers)
    times = (exchange.sent_at, exchange.head_at, exchange.done_at, *(chunk.at_s for chunk in got.chunks))
    return (
        all(isinstance(text, str) for text in (*texts, *(text for pair in pairs for text in pair)))
        and all(type(number) is int for number in (exchange.seq, got.status))
        and all(isinstance(at, float) and math.isfinite(at) for at in times)
        and isinstance(sent.body, bytes)
        and isinstance(got.body, bytes)
        and exchange.credential in get_args(Credential)
        and exchange.closed in get_args(Closed)
    )


def _times(exchange: Exchange) -> tuple[float, ...]:
    chunks = exchange.response.chunks if exchange.response else ()
    return (exchange.sent_at, exchange.head_at, exchange.done_at, *(chunk.at_s for chunk in chunks))


def _bare(exchange: Exchange) -> Exchange:
    """Without what a recording rounds, and with headers in the order in which it writes them."""
    request, response = exchange.request, exchange.response
    request = replace(request, headers=tuple(sorted(request.headers, key=lambda pair: pair[0].lower())))
    if response is not None:
        headers = tuple(sorted(response.headers, key=lambda pair: pair[0].lower()))
        response = replace(response, headers=headers, chunks=())
    return replace(exchange, request=request, response=response, sent_at=0.0, head_at=0.0, done_at=0.0)


def _again(recording: Recording) -> Recording:
    """What is read of a recording after it was written once more."""
    path = file("again.har", har.render(recording).encode("utf-8", "surrogatepass"))
    return replace(har.decode(json.loads(path.read_text("utf-8", "surrogatepass"))), path=recording.path)


@cache
def own_recordings() -> Sequence[bytes]:
    """Two entries of each of three recordings."""
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
    """Pages of a browser, a proxy and a tester."""
    made = []
    for writer in ("WebInspector", "mitmproxy", "harfile"):
        page = [
            *foreign_files.page()[:4],
            foreign_files.Seen(at=9.0, key=foreign_files.OTHER_KEY, headers={"Cookie": "session=abcdefghijklmnop1234"}),
            foreign_files.status_read("ready", 9.5, key=foreign_files.WRONG_KEY),
            foreign_files.Seen(
                at=9.7,
                status=404,
                path=f"{foreign_files.BUILD}?who={foreign_files.KEY}",
                answer={"error": f"{foreign_files.KEY} is not %73k_live_other_0123456789"},
                response={"headers": [{"name": "Location", "value": f"https://h/?a={foreign_files.KEY}"}]},
            ),
            foreign_files.Seen(url="https://elsewhere.test/x", at=10.0, text="x", kind="text/plain"),
        ]
        made.append(json.dumps(foreign_files.document(*page, writer=writer)).encode())
    return made


def hars() -> Sequence[bytes]:
    """Recordings of ours and of others."""
    return (*own_recordings(), *foreign_hars())


# --- claims and contract ---------------------------------------------------------------------------------------------


def check_claims(data: bytes) -> None:
    """A ledger is read or refused with its place; of what is read, each claim can be asked for."""
    path = file("claims.yaml", data)
    try:
        ledger = claims.load(path)
    except ContractError as error:
        well_said(error, f"{path}: ")
        return
    rows = (*ledger.judged(), *ledger.judged("load"), *ledger.excluded())
    assert {row.id for row in rows} == set(ledger)
    for row in rows:
        assert ledger.explain(row.id) == row
        assert row.subject
    try:
        assert set(ledger.select("*")) == set(ledger.judged())
    except UsageError:
        assert not ledger.judged()


def ledgers() -> Sequence[bytes]:
    """A ledger with a row of each kind, in both styles of YAML."""
    rows: list[dict[str, Any]] = [
        {"id": "start.answers-202", "level": "must", "says": "A start is answered with 202.", "source": "build#intro"},
        {
            "id": "key.second",
            "level": "should",
            "says": "x",
            "source": "y",
            "needs": ["second", "publish"],
            "by": "load",
        },
        {"id": "page.words", "says": "x", "source": "y", "excluded": "Nobody can tell."},
    ]
    return (yaml.safe_dump({"claims": rows}, sort_keys=False).encode(), json.dumps({"claims": rows}).encode())


def check_contract(data: bytes) -> None:
    """A contract is read or refused with its place; what is read can judge answers."""
    try:
        contract = Contract(data, "builds.yaml")
    except ContractError as error:
        well_said(error, "builds.yaml")
        return
    for name, operation in contract.operations.items():
        contract.match(operation.method, operation.path.replace("{", "").replace("}", ""))
        for status in contract.allowed_statuses(name):
            for media_type in contract.media_types(name, status):
                for body in (b'{"status": "ready", "a": [1, "x"]}', b'data: {"ts": 1, "level": "x"}\n\n', b"\xff"):
                    for problem in contract.problems(name, status, media_type, body):
                        assert isinstance(str(problem), str)


@cache
def contracts() -> Sequence[bytes]:
    """The contract with two of its operations, and a small one."""
    document = yaml.safe_load((openapi_dir() / "builds.yaml").read_text("utf-8"))
    log = {"type": "object", "required": ["ts"], "properties": {"ts": {"type": "string", "format": "date-time"}}}
    data = {"type": "string", "contentSchema": {"$ref": "#/components/schemas/L"}}
    frame = {"type": "object", "properties": {"data": data}}
    status = {"type": "object", "properties": {"status": {"enum": ["ready", "failed"]}, "n": {"pattern": "^[a-z]+$"}}}
    read = {"operationId": "getB", "tags": ["b"], "responses": {"200": _answer("application/json", status)}}
    follow = {"operationId": "logB", "responses": {"200": _answer("text/event-stream", frame)}}
    small = {
        "openapi": "3.1.0",
        "paths": {"/b/{name}": {"get": read}, "/b/{name}/events": {"get": follow}},
        "components": {"schemas": {"L": log}},
    }
    kept = {path: item for path, item in document["paths"].items() if path.endswith(("build", "events"))}
    return (yaml.safe_dump(small).encode(), json.dumps({**document, "paths": kept}, default=str).encode())


def _answer(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "x", "content": {kind: {"schema": schema}}}


TARGETS = (
    Target("har", check_har, hars, JSON),
    Target("claims", check_claims, ledgers, YAML, most_bytes=4096),
    Target("contract", check_contract, contracts, YAML),
)
