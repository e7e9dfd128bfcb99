"""
The smoke test tells what cannot be judged from what does not conform, in two or three requests that change nothing.
"""

import json
from collections.abc import Callable
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
MISSING = {"error": "Template version not found."}
NO_PATH = {"error": "No such path."}

Answer = tuple[int, Any]
# Status, 0 for none, body and headers.
Raw = tuple[int, bytes, dict[str, str]]


@pytest.fixture
def sent() -> list[Exchange]:
    """What was sent, in order."""
    return []


@pytest.fixture
def tried(sent: list[Exchange]) -> Callable[..., float]:
    """Runs the smoke test against a server that answers as told: with the key, without it, and on an unknown path."""

    def run(with_key: Answer, without_key: Answer, nowhere: Answer = (404, NO_PATH)) -> float:
        def answer(request: httpx.Request) -> httpx.Response:
            told = with_key if "Authorization" in request.headers else without_key
            status, body = nowhere if request.url.path.endswith(NOWHERE) else told
            if isinstance(body, dict):
                return httpx.Response(status, content=json.dumps(body), headers={"Content-Type": "application/json"})
            return httpx.Response(status, content=body, headers={"Content-Type": "text/html"})

        transport = Transport(URL, Keys(KEY), Contract.load(), sent.append)
        with respx.mock(assert_all_called=False) as router:
            router.route().mock(side_effect=answer)
            try:
                return smoke(transport)
            finally:
                transport.close()

    return run


@pytest.mark.parametrize(
    ("with_key", "without_key"),
    [
        ((404, MISSING), (401, {"error": "Missing API key."})),
        ((500, b"oops"), (401, {"error": "Missing API key."})),
        ((404, {"message": "x"}), (401, b"")),
        ((429, {"error": "slow down"}), (401, {"error": "Missing API key."})),
    ],
)
def test_api_that_asks_for_a_key_is_judged(
    tried: Callable[..., float], sent: list[Exchange], with_key: Answer, without_key: Answer
) -> None:
    """
    A server that asks for a key and does not refuse ours is judged, whatever else it answers; two requests suffice.
    """
    assert tried(with_key, without_key) >= 0.0
    assert [(e.request.method, e.credential) for e in sent] == [("GET", "primary"), ("GET", "none")]


@pytest.mark.parametrize(
    "with_key", [(404, MISSING), (200, {"status": "not_built"}), (403, {"error": "Building needs a Scale plan."})]
)
def test_api_that_forgets_the_key_is_judged(tried: Callable[..., float], with_key: Answer) -> None:
    """A server that lets everybody in has a fault, and is judged as long as it knows the paths."""
    assert tried(with_key, with_key) >= 0.0


@pytest.mark.parametrize(
    ("answer", "nowhere"),
    [
        ((404, NO_PATH), (404, NO_PATH)),
        ((404, {"error": "no route /api/templates/default/touchstone-smoke-test/1.0.0/build"}),
         (404, {"error": f"no route /api{NOWHERE}"})),
        ((404, b"<h1>Not found</h1>"), (404, b"<h1>Not found</h1>")),
        ((200, b"<h1>Welcome</h1>"), (200, b"<h1>Welcome</h1>")),
        ((200, {"status": "ok"}), (200, {"status": "ok"})),
        ((200, {"status": {"state": "ready"}}), (404, NO_PATH)),
        ((200, {"error": "but fine"}), (404, NO_PATH)),
        ((404, {"message": "no route"}), (404, {"message": "no route"})),
        ((302, b""), (302, b"")),
        ((502, b"bad gateway"), (502, b"bad gateway")),
    ],
)  # fmt: skip
def test_other_server_is_not_judged(
    tried: Callable[..., float], sent: list[Exchange], answer: Answer, nowhere: Answer
) -> None:
    """A server that neither asks for a key nor knows the paths is another one; the message shows what was seen."""
    with pytest.raises(TargetError, match="not a template build API") as error:
        tried(answer, answer, nowhere)
    assert str(answer[0]) in str(error.value)
    assert URL in str(error.value)
    assert {e.request.method for e in sent} == {"GET"}


def test_refused_key_is_told_with_its_text(tried: Callable[..., float]) -> None:
    """
    Two refusals mean that the key is wrong; the server's words and the variable are in the message, the key is not.
    """
    with pytest.raises(TargetError, match="ORGO_API_KEY") as error:
        tried((401, {"error": f"Invalid API key {KEY}."}), (401, {"error": "Missing API key."}))
    assert "'Invalid API key <key:primary>.'" in str(error.value)
    assert KEY not in str(error.value)


def test_one_lost_answer_is_asked_for_again() -> None:
    """A connection that breaks once is tried again; twice in a row is no answer."""
    transport = Transport(URL, Keys(KEY), Contract.load(), lambda _: None)
    answers = [httpx.ConnectError("refused"), httpx.Response(404, json=MISSING), httpx.Response(401, json=MISSING)]
    with respx.mock() as router:
        router.route().mock(side_effect=answers)
        assert smoke(transport) >= 0.0
        router.route().mock(side_effect=httpx.ConnectError("refused"))
        with pytest.raises(TargetError, match="no answer: ConnectError: refused"):
            smoke(transport)
    transport.close()


MISPACKED = (404, b'{"error": "Template version not found."}', {"Content-Encoding": "gzip"})
NOT_FOUND = (404, MISPACKED[1], {})
REFUSED = (401, b'{"error": "Missing API key."}', {})
READY = (200, b'{"status": "ready"}', {})
HELLO = (200, b"hello", {})
LOST = (0, b"", {})


def judged(curated: Raw, *unknown: Raw) -> bool:
    """
    Whether a server is judged that answers for a curated version so, and for one that nobody has *unknown* in turn.
    """
    left = iter(unknown)
    name = CURATED.partition("/")[2].partition("@")[0]

    def answer(request: httpx.Request) -> httpx.Response:
        knows = request.headers.get("Authorization") == f"Bearer {KEY}"
        told = next(left, unknown[-1]) if name not in request.url.path else curated if knows else REFUSED
        status, body, headers = told
        if not status:
            raise httpx.ReadTimeout("nothing came")
        return httpx.Response(status, headers=headers, content=iter([body]))

    transport = Transport(URL, Keys(KEY), Contract.load(), lambda _: None)
    with respx.mock() as router:
        router.route().mock(side_effect=answer)
        try:
            smoke(transport)
        except TargetError:
            return False
        finally:
            transport.close()
    return True


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param((MISPACKED, REFUSED), id="broken-404"),
        pytest.param((NOT_FOUND, MISPACKED), id="broken-401"),
        pytest.param((LOST, LOST, REFUSED), id="no-answer"),
        pytest.param((REFUSED,), id="401-for-404"),
        pytest.param((HELLO,), id="200-for-all"),
    ],
)
def test_api_that_serves_what_is_there_is_judged(unknown: tuple[Raw, ...]) -> None:
    """Whatever is answered for a version that nobody has, a documented success that takes the key shows this API."""
    assert judged(READY, *unknown)
    assert not judged(REFUSED, *unknown)
    assert not judged(HELLO, *unknown)


def test_server_that_says_nothing_is_not_asked_for_more() -> None:
    """Where neither request is answered as a whole, the server is given up whatever else it might say."""
    assert not judged(READY, MISPACKED)
    assert not judged(READY, LOST)
