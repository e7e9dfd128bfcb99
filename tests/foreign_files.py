"""HAR files as browsers and test tools write them, and the findings of the rules in them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tests.rules.exchanges import DIGEST, contract, frame
from touchstone.facts.finding import Judgement
from touchstone.recordings import foreign, har, replay
from touchstone.recordings.recording import Accounts, Recording

API = "https://www.orgo.test/api"
KEY, OTHER_KEY, SMALL_KEY, WRONG_KEY = (f"sk_live_{word}_0123456789" for word in ("first", "other", "small", "wrong"))
REF = "default/hello@1.0.0"
PATH = "/templates/default/hello/1.0.0"
BUILD, EVENTS = f"{PATH}/build", f"{PATH}/build/events"
BEGAN = datetime(2026, 3, 14, 9, 0, 0, tzinfo=UTC)
DOCUMENT = json.dumps({"api_version": "orgo.ai/v1", "template": {"name": "hello", "version": "1.0.0"}})
NO_ACCOUNTS: Accounts = {}
UNSET: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class HarEntry:
    """One entry of a HAR file; the last five fields override parts of the entry."""

    method: str = "GET"
    path: str = BUILD
    status: int = 200
    at: float = 0.0  # seconds from the beginning of the file
    key: str | None = KEY  # behind ``Bearer``; None for no header
    answer: Any = UNSET  # JSON body of the response
    text: Any = UNSET  # text of the body, by default that of *answer*; None for none
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    posted: str | None = None
    url: str = ""
    wait_s: float = 0.01
    receive_s: float = 0.0
    more: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    response: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        timings: dict[str, float] = {"blocked": -1, "dns": -1, "connect": -1, "send": 0}
        timings |= {"wait": self.wait_s * 1000, "receive": self.receive_s * 1000}
        entry: dict[str, Any] = {
            "startedDateTime": (BEGAN + timedelta(seconds=self.at)).isoformat().replace("+00:00", "Z"),
            "time": (self.wait_s + self.receive_s) * 1000,
            "request": self._request(),
            "response": self._response(),
            "cache": {},
            "timings": timings | dict(self.timings),
        }
        return entry | dict(self.more)

    def _request(self) -> dict[str, Any]:
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        half: dict[str, Any] = {"method": self.method, "url": self.url or API + self.path, "httpVersion": "http/2.0"}
        half |= {"headers": _pairs(headers | dict(self.headers)), "headersSize": 100, "bodySize": -1}
        if self.posted is not None:
            half["headers"] += _pairs({"content-type": "application/json"})
            half["postData"] = {"mimeType": "application/json", "text": self.posted}
        return half | {"cookies": [], "queryString": []} | dict(self.request)

    def _response(self) -> dict[str, Any]:
        text = (json.dumps(self.answer) if self.answer is not UNSET else "") if self.text is UNSET else self.text
        content: dict[str, Any] = {"size": len(text or ""), "mimeType": self.kind}
        content |= {} if text is None else {"text": text}
        half: dict[str, Any] = {"status": self.status, "statusText": "", "httpVersion": "http/2.0", "cookies": []}
        half |= {"headers": _pairs({"content-type": self.kind}), "content": content | dict(self.content)}
        return half | {"redirectURL": "", "headersSize": -1, "bodySize": -1} | dict(self.response)


def document(*entries: HarEntry | dict[str, Any], writer: str = "WebInspector") -> dict[str, Any]:
    written = [entry.entry() if isinstance(entry, HarEntry) else entry for entry in entries]
    return {"log": {"version": "1.2", "creator": {"name": writer, "version": "1"}, "pages": [], "entries": written}}


def read_har(*entries: HarEntry, writer: str = "WebInspector", accounts: Accounts | None = NO_ACCOUNTS) -> Recording:
    """The recording in a valid HAR file."""
    file = document(*entries, writer=writer)
    assert har.problems(file) == ()
    return foreign.recording(file, "page", "page.har", contract(), accounts)


def status_read(status: str, at: float, **more: Any) -> HarEntry:
    results: dict[str, dict[str, Any]] = {"ready": {"build_time_ms": 1200}, "failed": {"error": "step 1"}}
    answer = {"ref": REF, "digest": DIGEST, "status": status} | results.get(status, {}) | more.pop("fields", {})
    return HarEntry(answer=answer, at=at, **more)


def publish(at: float = 0.0, status: int = 201, query: str = "", **more: Any) -> HarEntry:
    """A publish; `fields` are added to its response, such as *auto_build*."""
    answer = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:00:00Z"} | more.pop("fields", {})
    facts: dict[str, Any] = {"method": "POST", "path": f"/templates{query}", "posted": DOCUMENT, "answer": answer}
    return HarEntry(at=at, status=status, **(facts | more))


def start(at: float, **more: Any) -> HarEntry:
    answer = {"ref": REF, "digest": DIGEST, "status": "building"}
    facts: dict[str, Any] = {"method": "POST", "status": 202, "at": at, "answer": answer}
    return HarEntry(**(facts | more))


def cancel(at: float, status: int = 202, **more: Any) -> HarEntry:
    """A cancel of a build, or with 404 of none."""
    answer = {"status": "cancelling" if status == 202 else "idle"}
    facts: dict[str, Any] = {"method": "DELETE", "status": status, "at": at, "answer": answer}
    return HarEntry(**(facts | more))


def log_text(*phases: str) -> str:
    """The text of a build log, one frame for each phase."""
    lines = ({"ts": "2026-03-14T09:00:02Z", "level": "info", "phase": phase, "line": phase} for phase in phases)
    return b"".join(map(frame, lines)).decode()


def log(at: float, *phases: str, **more: Any) -> HarEntry:
    text = log_text(*(phases or ("boot", "ready")))
    facts: dict[str, Any] = {"at": at, "path": EVENTS, "kind": "text/event-stream", "text": text}
    return HarEntry(**(facts | more))


def page() -> list[HarEntry]:
    """A page that publishes, starts, follows, polls, starts again and cancels, at a correct server."""
    template = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:00:00Z", "template": json.loads(DOCUMENT)}
    other: dict[str, Any] = {"fields": {"digest": "cd" * 32}}
    return [
        publish(0.0),
        status_read("not_built", 0.5),
        start(1.0),
        log(1.1, receive_s=3.0),
        status_read("building", 2.0),
        status_read("ready", 4.5, fields={"build_time_ms": 2900}),
        HarEntry(at=5.0, path=PATH, answer=template),
        publish(6.0, query="?force=true&auto_build=true", fields={"auto_build": "building", "digest": "cd" * 32}),
        status_read("building", 6.1, **other),
        cancel(6.2),
        status_read("not_built", 8.0, **other),
        cancel(8.1, 404),
    ]


def judged(recording: Recording) -> tuple[Judgement, ...]:
    """The judgements of a recording, taken as complete."""
    judgements, _, failed = replay.alone(replace(recording, origin="touchstone"))
    assert failed == {}
    return judgements


def broken(judgements: Iterable[Judgement]) -> set[str]:
    return {judgement.claim for judgement in judgements if judgement.outcome == "broken"}


def found(recording: Recording) -> set[str]:
    """The broken claims of a recording, taken as a part of all requests."""
    return broken(replay.alone(recording)[0])


def credentials(recording: Recording) -> Sequence[str]:
    return [exchange.credential for exchange in recording.exchanges]


def schemathesis_scenario() -> Any:
    """A publish, a rejected publish, a log, and a request without a response, as schemathesis stores them."""
    from schemathesis.engine.recorder import Interaction, Request, ScenarioRecorder

    recorder = ScenarioRecorder(label="x")

    def add(name: str, method: str, path: str, key: str | None, response: Any, body: bytes | None = None) -> None:
        headers = {"Authorization": [f"Bearer {key}"]} if key else {}
        interaction = Interaction(Request(method, API + path, body, len(body) if body else None, headers), response)
        interaction.timestamp = 1773478800.0 + len(recorder.interactions)
        recorder.interactions[name] = interaction
        recorder.cases[name] = SimpleNamespace(value=SimpleNamespace(meta=None))  # type: ignore[assignment]  # all that is read

    sent = b"api_version: orgo.ai/v1\ntemplate:\n  name: hello\n  version: 1.0.0\n"
    published = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:00:00Z"}
    add("a", "POST", "/templates?force=true", KEY, _response_of(201, json.dumps(published).encode()), sent)
    add("b", "POST", "/templates", None, _response_of(401, b'{"error": "Missing API key."}'), sent)
    add("c", "GET", EVENTS, KEY, _response_of(200, log_text("boot", "ready").encode(), "text/event-stream"))
    add("d", "GET", BUILD, KEY, None)
    return recorder


def _response_of(status: int, body: bytes, kind: str = "application/json") -> Any:
    import requests
    from schemathesis.core.transport import Response

    sent = requests.Request("GET", API + BUILD).prepare()
    headers = {"content-type": [kind], "set-cookie": ["session=abcdefghijklmnopqrstuvwxyz; Path=/"]}
    return Response(status, headers, body, sent, elapsed=0.25, verify=False, encoding="utf-8", message="")


def _pairs(headers: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]
