"""HAR files as browsers and testers write them, and what the rules find in them."""

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

NOBODY: Accounts = {}

UNSET: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class HarEntry:
    """One entry of a HAR file; everything has a default that fits the rest.

    Attributes:
        at: Seconds from the beginning of the file.
        key: Shown behind ``Bearer``; None for no header at all.
        answer: Value of a JSON body.
        text: The body as it is written; UNSET for the one of *answer*, None for none.
        more, request, response, content, timings: What the parts of the entry have beside or instead.
    """

    method: str = "GET"
    path: str = BUILD
    status: int = 200
    at: float = 0.0
    key: str | None = KEY
    answer: Any = UNSET
    text: Any = UNSET
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
        """The entry as it stands in a file."""
        timings = {
            "blocked": -1,
            "dns": -1,
            "connect": -1,
            "send": 0,
            "wait": self.wait_s * 1000,
            "receive": self.receive_s * 1000,
        }
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
        half: dict[str, Any] = {
            "method": self.method,
            "url": self.url or API + self.path,
            "httpVersion": "http/2.0",
            "cookies": [],
            "headers": _pairs(headers | dict(self.headers)),
            "queryString": [],
            "headersSize": 100,
            "bodySize": -1,
        }
        if self.posted is not None:
            half["headers"] += _pairs({"content-type": "application/json"})
            half["postData"] = {"mimeType": "application/json", "text": self.posted}
        return half | dict(self.request)

    def _response(self) -> dict[str, Any]:
        text = (json.dumps(self.answer) if self.answer is not UNSET else "") if self.text is UNSET else self.text
        content: dict[str, Any] = {"size": len(text or ""), "mimeType": self.kind}
        if text is not None:
            content["text"] = text
        half: dict[str, Any] = {
            "status": self.status,
            "statusText": "",
            "httpVersion": "http/2.0",
            "cookies": [],
            "headers": _pairs({"content-type": self.kind}),
            "content": content | dict(self.content),
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
        }
        return half | dict(self.response)


Seen = HarEntry  # as tests/fuzz imports it


def document(*entries: HarEntry | dict[str, Any], writer: str = "WebInspector") -> dict[str, Any]:
    """A HAR file."""
    written = [entry.entry() if isinstance(entry, HarEntry) else entry for entry in entries]
    return {"log": {"version": "1.2", "creator": {"name": writer, "version": "1"}, "pages": [], "entries": written}}


def read_har(
    *entries: HarEntry | dict[str, Any], writer: str = "WebInspector", accounts: Accounts | None = NOBODY
) -> Recording:
    """What is read of a HAR file, which has to be one."""
    file = document(*entries, writer=writer)
    assert har.problems(file) == ()
    return foreign.recording(file, "page", "page.har", contract(), accounts)


def status_read(status: str, at: float, **more: Any) -> HarEntry:
    """A read of a status."""
    results: dict[str, dict[str, Any]] = {"ready": {"build_time_ms": 1200}, "failed": {"error": "step 1"}}
    answer = {"ref": REF, "digest": DIGEST, "status": status} | results.get(status, {}) | more.pop("fields", {})
    return HarEntry(answer=answer, at=at, **more)


def publish(at: float = 0.0, status: int = 201, query: str = "", **more: Any) -> HarEntry:
    """A publish; *auto_build* of the answer, where there is one, goes into `fields`."""
    answer = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:00:00Z"} | more.pop("fields", {})
    facts: dict[str, Any] = {"method": "POST", "path": f"/templates{query}", "posted": DOCUMENT, "answer": answer}
    return HarEntry(at=at, status=status, **(facts | more))


def start(at: float, **more: Any) -> HarEntry:
    """An accepted start."""
    answer = {"ref": REF, "digest": DIGEST, "status": "building"}
    facts: dict[str, Any] = {"method": "POST", "status": 202, "at": at, "answer": answer}
    return HarEntry(**(facts | more))


def cancel(at: float, status: int = 202, **more: Any) -> HarEntry:
    """A cancel that finds a build, or with 404 none."""
    answer = {"status": "cancelling" if status == 202 else "idle"}
    facts: dict[str, Any] = {"method": "DELETE", "status": status, "at": at, "answer": answer}
    return HarEntry(**(facts | more))


def log_text(*phases: str) -> str:
    """The text of a build log, one frame for each phase."""
    lines = ({"ts": "2026-03-14T09:00:02Z", "level": "info", "phase": phase, "line": phase} for phase in phases)
    return b"".join(map(frame, lines)).decode()


def log(at: float, *phases: str, **more: Any) -> HarEntry:
    """A log that was followed."""
    text = log_text(*(phases or ("boot", "ready")))
    facts: dict[str, Any] = {"at": at, "path": EVENTS, "kind": "text/event-stream", "text": text}
    return HarEntry(**(facts | more))


def page() -> list[HarEntry]:
    """A page that publishes, starts, follows and polls to the end, starts again and cancels, all as documented."""
    return [
        publish(0.0),
        status_read("not_built", 0.5),
        start(1.0),
        log(1.1, receive_s=3.0),
        status_read("building", 2.0),
        status_read("ready", 4.5, fields={"build_time_ms": 2900}),
        HarEntry(at=5.0, path=PATH, answer=_template()),
        publish(6.0, query="?force=true&auto_build=true", fields={"auto_build": "building", "digest": "cd" * 32}),
        status_read("building", 6.1, fields={"digest": "cd" * 32}),
        cancel(6.2),
        status_read("not_built", 8.0, fields={"digest": "cd" * 32}),
        cancel(8.1, 404),
    ]


def judged(recording: Recording) -> tuple[Judgement, ...]:
    """What the rules find in a recording, as if it showed all that happened."""
    result = replay.alone(replace(recording, origin="touchstone"))
    assert result.judge.failed == {}
    return result.judgements


def broken(judgements: Iterable[Judgement]) -> set[str]:
    """The claims that are found broken."""
    return {judgement.claim for judgement in judgements if judgement.outcome == "broken"}


def found(recording: Recording) -> set[str]:
    """The claims that a recording shows to be broken, whatever it does not show."""
    return broken(replay.alone(recording).judgements)


def credentials(recording: Recording) -> Sequence[str]:
    """Whose key each exchange shows."""
    return [exchange.credential for exchange in recording.exchanges]


def schemathesis_scenario() -> Any:
    """What schemathesis keeps of a publish, a publish that is refused, a log, and a request that is not answered."""
    from schemathesis.engine.recorder import Interaction, Request, ScenarioRecorder

    recorder = ScenarioRecorder(label="x")

    def add(name: str, method: str, path: str, key: str | None, answered: Any, body: bytes | None = None) -> None:
        headers = {"Authorization": [f"Bearer {key}"]} if key else {}
        request = Request(method, API + path, body, len(body) if body else None, headers)
        interaction = Interaction(request, answered)
        interaction.timestamp = 1773478800.0 + len(recorder.interactions)
        recorder.interactions[name] = interaction
        recorder.cases[name] = SimpleNamespace(value=SimpleNamespace(meta=None))  # type: ignore[assignment]  # all that is read

    sent = b"api_version: orgo.ai/v1\ntemplate:\n  name: hello\n  version: 1.0.0\n"
    published = {"ref": REF, "digest": DIGEST, "published": "2026-03-14T09:00:00Z"}
    add("a", "POST", "/templates?force=true", KEY, _answered(201, json.dumps(published).encode()), sent)
    add("b", "POST", "/templates", None, _answered(401, b'{"error": "Missing API key."}'), sent)
    add("c", "GET", EVENTS, KEY, _answered(200, log_text("boot", "ready").encode(), "text/event-stream"))
    add("d", "GET", BUILD, KEY, None)
    return recorder


def _answered(status: int, body: bytes, kind: str = "application/json") -> Any:
    import requests
    from schemathesis.core.transport import Response

    sent = requests.Request("GET", API + BUILD).prepare()
    headers = {"content-type": [kind], "set-cookie": ["session=abcdefghijklmnopqrstuvwxyz; Path=/"]}
    return Response(status, headers, body, sent, elapsed=0.25, verify=False, encoding="utf-8", message="")


def _template() -> dict[str, Any]:
    return {
        "ref": REF,
        "digest": DIGEST,
        "published": "2026-03-14T09:00:00Z",
        "template": json.loads(DOCUMENT),
    }


def _pairs(headers: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]
