"""The smoke test tells a server that cannot be judged from one that does not conform, by reads alone."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx

from touchstone.check.preflight import CURATED, NOWHERE, smoke
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Keys
from touchstone.target.transport import Transport

URL = "http://127.0.0.1:8123/api"
KEY = "sk_live_0123456789abcdef"
CURATED_NAME = CURATED.partition("/")[2].partition("@")[0]

# Status, 0 for no answer, the body, and header fields.
Answer = tuple[int, Any] | tuple[int, bytes, dict[str, str]]

MISSING: Answer = (404, {"error": "Template version not found."})
NO_PATH: Answer = (404, {"error": "No such path."})
REFUSED: Answer = (401, {"error": "Missing API key."})
READY: Answer = (200, {"status": "ready"})
HELLO: Answer = (200, b"hello")
LOST: Answer = (0, b"")
MISPACKED: Answer = (404, b'{"error": "Template version not found."}', {"Content-Encoding": "gzip"})


def response(status: int, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    if not status:
        raise httpx.ReadTimeout("nothing came")
    content, kind = (json.dumps(body).encode(), "application/json") if isinstance(body, dict) else (body, "text/html")
    return httpx.Response(status, content=iter([content]), headers={"Content-Type": kind} | (headers or {}))


@pytest.fixture
def sent() -> list[Exchange]:
    return []


@pytest.fixture
def transport(sent: list[Exchange]) -> Iterator[Transport]:
    opened = Transport(URL, Keys(KEY), Contract.load(), sent.append)
    yield opened
    opened.close()


def examined(transport: Transport, with_key: Answer, without_key: Answer, nowhere: Answer = NO_PATH) -> float:
    """The latency that the smoke test measures on a server that answers so for any version."""

    def answer(request: httpx.Request) -> httpx.Response:
        ours = with_key if "Authorization" in request.headers else without_key
        return response(*(nowhere if request.url.path.endswith(NOWHERE) else ours))

    with respx.mock(assert_all_called=False) as router:
        router.route().mock(side_effect=answer)
        return smoke(transport)


def is_judged(transport: Transport, curated: Answer, *unknown: Answer) -> bool:
    """Whether a server is judged that answers so for a curated version, and for a missing one *unknown* in turn."""
    left = iter(unknown)

    def answer(request: httpx.Request) -> httpx.Response:
        if CURATED_NAME not in request.url.path:
            return response(*next(left, unknown[-1]))
        return response(*(curated if request.headers.get("Authorization") == f"Bearer {KEY}" else REFUSED))

    with respx.mock() as router:
        router.route().mock(side_effect=answer)
        try:
            return smoke(transport) >= 0.0
        except TargetError:
            return False


@pytest.mark.parametrize("with_key", [MISSING, (500, b"oops"), (404, {"message": "x"}), (429, {"error": "slow down"})])
def test_api_that_requires_a_key_is_judged_after_two_reads(
    transport: Transport, sent: list[Exchange], with_key: Answer
) -> None:
    assert examined(transport, with_key, REFUSED) >= 0.0
    assert [(e.request.method, e.credential) for e in sent] == [("GET", "primary"), ("GET", "none")]


@pytest.mark.parametrize("answer", [MISSING, (200, {"status": "not_built"}), (403, {"error": "A Scale plan."})])
def test_api_that_forgets_the_key_is_judged(transport: Transport, answer: Answer) -> None:
    assert examined(transport, answer, answer) >= 0.0


ECHO = "/api/templates/default/touchstone-smoke-test/1.0.0/build"


@pytest.mark.parametrize(
    ("answer", "nowhere"),
    [
        (NO_PATH, NO_PATH),
        ((404, {"error": f"no route {ECHO}"}), (404, {"error": f"no route /api{NOWHERE}"})),
        *((same, same) for same in ((404, b"<h1>Not found</h1>"), (200, b"<h1>Welcome</h1>"), (200, {"status": "ok"}))),
        *((same, same) for same in ((404, {"message": "no route"}), (302, b""), (502, b"bad gateway"))),
        ((200, {"status": {"state": "ready"}}), NO_PATH),
    ],
)
def test_other_server_is_not_judged(
    transport: Transport, sent: list[Exchange], answer: Answer, nowhere: Answer
) -> None:
    with pytest.raises(TargetError) as raised:
        examined(transport, answer, answer, nowhere)
    assert str(answer[0]) in str(raised.value)
    assert URL in str(raised.value)
    assert {e.request.method for e in sent} == {"GET"}


def test_refused_key_is_reported_with_its_variable_and_without_the_key(transport: Transport) -> None:
    with pytest.raises(TargetError, match="ORGO_API_KEY") as raised:
        examined(transport, (401, {"error": f"Invalid API key {KEY}."}), REFUSED)
    assert "'Invalid API key <key:primary>.'" in str(raised.value)
    assert KEY not in str(raised.value)


def test_lost_answer_is_requested_once_more(transport: Transport) -> None:
    with respx.mock() as router:
        router.route().mock(side_effect=[httpx.ConnectError("refused"), response(*MISSING), response(*REFUSED)])
        assert smoke(transport) >= 0.0
        router.route().mock(side_effect=httpx.ConnectError("refused"))
        with pytest.raises(TargetError, match="ConnectError: refused"):
            smoke(transport)


@pytest.mark.parametrize(
    "unknown",
    [(MISPACKED, REFUSED), (MISSING, MISPACKED), (LOST, LOST, REFUSED), (REFUSED,), (HELLO,)],
    ids=["broken-404", "broken-401", "no-answer", "401-for-404", "200-for-all"],
)
def test_api_that_serves_a_curated_version_is_judged(transport: Transport, unknown: tuple[Answer, ...]) -> None:
    assert is_judged(transport, READY, *unknown)
    assert not is_judged(transport, REFUSED, *unknown)
    assert not is_judged(transport, HELLO, *unknown)
