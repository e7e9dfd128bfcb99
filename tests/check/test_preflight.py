"""Preflight: targets that cannot be judged, missing templates, and keys below the Scale plan."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from tests.check.scripted import Answer, Scripted, examination
from tests.command import KEYS, PRIMARY, RESTRICTED, Command, Ended, Shell
from tests.inline import inline
from tests.rules.exchanges import exchange
from tests.watched import Watched
from touchstone.check.job import RESTRICTED_REF
from touchstone.check.preflight import CURATED, NOWHERE, UPGRADE_REQUIRED, PlanWatch, check_given, smoke
from touchstone.config import TargetSettings, Templates
from touchstone.contract.document import Contract
from touchstone.errors import TargetError
from touchstone.facts.exchange import Exchange
from touchstone.target.call import Call
from touchstone.target.keys import Keys
from touchstone.target.transport import Transport

URL = "http://127.0.0.1:8123/api"
KEY = "sk_live_0123456789abcdef"
CURATED_NAME = CURATED.partition("/")[2].partition("@")[0]

# Status, 0 for no answer, the body, and header fields.
Reply = tuple[int, Any] | tuple[int, bytes, dict[str, str]]

MISSING: Reply = (404, {"error": "Template version not found."})
NO_PATH: Reply = (404, {"error": "No such path."})
UNAUTHORIZED: Reply = (401, {"error": "Missing API key."})
READY: Reply = (200, {"status": "ready"})
HELLO: Reply = (200, b"hello")
LOST: Reply = (0, b"")
MISPACKED: Reply = (404, b'{"error": "Template version not found."}', {"Content-Encoding": "gzip"})


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


def examined(transport: Transport, with_key: Reply, without_key: Reply, nowhere: Reply = NO_PATH) -> float:
    """Runs the smoke test on a server with these responses for any version; returns the latency."""

    def answer(request: httpx.Request) -> httpx.Response:
        ours = with_key if "Authorization" in request.headers else without_key
        return response(*(nowhere if request.url.path.endswith(NOWHERE) else ours))

    with respx.mock(assert_all_called=False) as router:
        router.route().mock(side_effect=answer)
        return smoke(transport)


def is_judged(transport: Transport, curated: Reply, *unknown: Reply) -> bool:
    """Whether the smoke test accepts a server; *unknown* are its responses for the missing version, in turn."""
    left = iter(unknown)

    def answer(request: httpx.Request) -> httpx.Response:
        if CURATED_NAME not in request.url.path:
            return response(*next(left, unknown[-1]))
        return response(*(curated if request.headers.get("Authorization") == f"Bearer {KEY}" else UNAUTHORIZED))

    with respx.mock() as router:
        router.route().mock(side_effect=answer)
        try:
            return smoke(transport) >= 0.0
        except TargetError:
            return False


@pytest.mark.parametrize("with_key", [MISSING, (500, b"oops"), (404, {"message": "x"}), (429, {"error": "slow down"})])
def test_api_that_requires_a_key_is_judged_after_two_reads(
    transport: Transport, sent: list[Exchange], with_key: Reply
) -> None:
    assert examined(transport, with_key, UNAUTHORIZED) >= 0.0
    assert [(e.request.method, e.credential) for e in sent] == [("GET", "primary"), ("GET", "none")]


@pytest.mark.parametrize("answer", [MISSING, (200, {"status": "not_built"}), (403, {"error": "A Scale plan."})])
def test_api_that_forgets_the_key_is_judged(transport: Transport, answer: Reply) -> None:
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
def test_other_server_is_not_judged(transport: Transport, sent: list[Exchange], answer: Reply, nowhere: Reply) -> None:
    with pytest.raises(TargetError) as raised:
        examined(transport, answer, answer, nowhere)
    assert str(answer[0]) in str(raised.value)
    assert URL in str(raised.value)
    assert {e.request.method for e in sent} == {"GET"}


def test_refused_key_is_reported_with_its_variable_and_without_the_key(transport: Transport) -> None:
    with pytest.raises(TargetError, match="ORGO_API_KEY") as raised:
        examined(transport, (401, {"error": f"Invalid API key {KEY}."}), UNAUTHORIZED)
    assert "'Invalid API key <key:primary>.'" in str(raised.value)
    assert KEY not in str(raised.value)


def test_lost_answer_is_requested_once_more(transport: Transport) -> None:
    with respx.mock() as router:
        router.route().mock(side_effect=[httpx.ConnectError("refused"), response(*MISSING), response(*UNAUTHORIZED)])
        assert smoke(transport) >= 0.0
        router.route().mock(side_effect=httpx.ConnectError("refused"))
        with pytest.raises(TargetError, match="ConnectError: refused"):
            smoke(transport)


@pytest.mark.parametrize(
    "unknown",
    [(MISPACKED, UNAUTHORIZED), (MISSING, MISPACKED), (LOST, LOST, UNAUTHORIZED), (UNAUTHORIZED,), (HELLO,)],
    ids=["broken-404", "broken-401", "no-answer", "401-for-404", "200-for-all"],
)
def test_api_that_serves_a_curated_version_is_judged(transport: Transport, unknown: tuple[Reply, ...]) -> None:
    assert is_judged(transport, READY, *unknown)
    assert not is_judged(transport, UNAUTHORIZED, *unknown)
    assert not is_judged(transport, HELLO, *unknown)


# --- whole runs -------------------------------------------------------------------------------------------------------


THERE, GONE, HALF = "default/there@1.0.0", "default/gone@1.0.0", "default/half@1.0.0"


@pytest.mark.parametrize("fault", ["nobody-listens", "mute", "wrong-path", "wrong-key", "misspelt-ref"])
def test_target_that_cannot_be_judged_ends_with_3_and_reports(tmp_path: Path, call: Command, fault: str) -> None:
    key = "sk_live_of_nobody" if fault == "wrong-key" else PRIMARY
    with Watched() as watched, socket.create_server(("127.0.0.1", 0)) as mute:
        url = watched.url if fault in ("wrong-key", "misspelt-ref") else f"{watched.url.removesuffix('/api')}/v2"
        if fault in ("nobody-listens", "mute"):
            url = f"http://127.0.0.1:{mute.getsockname()[1]}/api"
        if fault == "nobody-listens":
            mute.close()
        table = f'[targets.a]\nurl = "{url}"\napi_key_env = "STAGING_KEY"\nrequest_timeout_s = 0.2\n'
        table += f'publish = "never"\ntemplates.buildable = ["{GONE}"]\n' if fault == "misspelt-ref" else ""
        (tmp_path / "touchstone.toml").write_text(table)
        ended = call(Shell(tmp_path, KEYS | {"STAGING_KEY": key}), "check", "--target", "a", "--profile", "quick")
        assert (watched.refs(), watched.launched) == ([], [])
    assert ended.code == 3
    assert (GONE if fault == "misspelt-ref" else url) in ended.last_line
    assert ("STAGING_KEY" in ended.last_line) == (fault == "wrong-key")
    assert {path.name for path in ended.results.iterdir()} >= {"report.json", "report.html", "junit.xml"}
    assert (set(ended.verdicts().values()), ended.report()["findings"]) == ({"could-not-run"}, [])
    assert key not in ended.out + ended.err


# --- versions that the settings name ----------------------------------------------------------------------------------


def given_reads(publish: Any, low: str | None = RESTRICTED, **refs: str) -> list[tuple[str, str | None]]:
    """Reads of `check_given` on a server that has THERE, and only one of two resources of HALF."""

    def answer(call: Call) -> Answer:
        is_there = call.ref == THERE or (call.ref == HALF and call.operation == "getTemplate")
        return 200 if is_there else 404, {}, {}

    transport: Any = Scripted(answer)
    templates = Templates(**{name: (ref,) for name, ref in refs.items()})
    check_given(transport, TargetSettings("a", restricted_api_key=low, publish=publish, templates=templates))
    return [(call.operation, call.ref) for call in transport.calls]


@pytest.mark.parametrize(
    "refs", [{"buildable": GONE}, {"buildable": THERE, "failing": GONE}, {"restricted": GONE}], ids=str
)
def test_given_ref_that_is_not_there_is_reported(refs: dict[str, str]) -> None:
    with pytest.raises(TargetError) as error:
        given_reads("never", **refs)
    assert str(error.value).startswith(f"{list(refs)[-1]}: {GONE} ")


def test_given_refs_are_read_once_where_they_are_used() -> None:
    reads = [("getBuild", THERE), ("getBuild", HALF), ("getTemplate", HALF)]
    assert given_reads("never", buildable=THERE, failing=HALF) == reads
    assert given_reads("raw", None, buildable=GONE, failing=HALF, restricted="default/gone-too@1.0.0") == []


# --- a main key below the Scale plan ----------------------------------------------------------------------------------


def checked(folder: Path, url: str, key: str, claims: str, table: str = "") -> Ended:
    """A quick check of some claims with a key from the settings."""
    (folder / "touchstone.toml").write_text(f'[targets.a]\nurl = "{url}"\napi_key_env = "MINE"\n{table}\n')
    arguments = ("check", "--target", "a", "--profile", "quick", "--claims", claims)
    return inline(Shell(folder, {"MINE": key}), *arguments)


@pytest.mark.parametrize("table", ["", f'publish = "never"\ntemplates.buildable = ["{RESTRICTED_REF}"]'])
def test_key_below_the_plan_ends_the_run_unjudged(tmp_path: Path, table: str) -> None:
    with Watched() as watched:
        ended = checked(tmp_path, watched.url, RESTRICTED, "reuse.status-code", table)
        assert (watched.refs(), watched.launched) == ([], [])
    assert ended.code == 3
    assert [data for data in ("MINE", UPGRADE_REQUIRED) if data not in ended.last_line] == []
    report = ended.report()
    assert report["findings"] == []
    assert report["counts"]["exchanges"] <= 40


BODY = json.dumps({"code": UPGRADE_REQUIRED}).encode()
REFUSED = exchange("publishTemplate", 403, body=BODY)


@pytest.mark.parametrize(
    ("before", "later", "barred"),
    [
        ([REFUSED], REFUSED, True),
        ([REFUSED], exchange("publishTemplate", 500), False),
        ([REFUSED, exchange("startBuild", 202)], REFUSED, False),
        ([REFUSED, exchange("publishTemplate", 409)], REFUSED, False),
        ([exchange("publishTemplate", 403)], REFUSED, False),
        ([exchange("publishTemplate", 403, body=BODY, credential="restricted")], REFUSED, False),
        ([exchange("getBuild", 403, body=BODY)], REFUSED, False),
    ],
    ids=["always", "fails-later", "started", "conflict", "another-403", "restricted-key", "read"],
)
def test_key_is_barred_where_every_try_is_refused_alike(
    monkeypatch: pytest.MonkeyPatch, before: list[Exchange], later: Exchange, barred: bool
) -> None:
    watch, exam = PlanWatch(), examination(lambda _: (500, {}, {}))
    monkeypatch.setattr(exam, "publish", lambda _: watch.record(later))
    for received in before:
        watch.record(received)
    assert watch.settle(exam) is barred
    assert watch.is_barred is barred
