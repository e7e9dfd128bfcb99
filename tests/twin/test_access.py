"""Who may do what: keys, plans, accounts, and the paths that name nothing."""

import http.client
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.twin.conftest import PRIMARY, RESTRICTED, SECOND, Api, document
from touchstone.twin import Account, App, Engine, Twin

BUILD = "/templates/default/demo/1.0.0/build"
OPERATIONS = [
    ("POST", "/templates"),
    ("GET", "/templates/default/demo/1.0.0"),
    ("DELETE", "/templates/default/demo/1.0.0"),
    ("POST", BUILD),
    ("GET", BUILD),
    ("DELETE", BUILD),
    ("GET", f"{BUILD}/events"),
    ("GET", "/no/such/path"),
]


@pytest.fixture(scope="module")
def stateless() -> Iterator[str]:
    """The URL of a twin for tests that change nothing; ``default/demo@1.0.0`` is published."""
    with Twin() as twin:
        httpx.post(f"{twin.url}/templates", json=document(), headers={"Authorization": f"Bearer {PRIMARY}"})
        yield twin.url


def raw_get(url: str, path: str, key: str = PRIMARY) -> tuple[int, dict[str, Any]]:
    """Asks for a path that no client library would send as it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize(
    ("headers", "prefix"),
    [
        ({}, "Missing API key"),
        ({"Authorization": ""}, "Invalid API key"),
        ({"Authorization": "Bearer"}, "Invalid API key"),
        ({"Authorization": PRIMARY}, "Invalid API key"),
        ({"Authorization": f"Basic {PRIMARY}"}, "Invalid API key"),
        ({"Authorization": f"Bearer {PRIMARY}x"}, "Invalid API key"),
        ({"Authorization": f"Bearer {PRIMARY[:-1]}"}, "Invalid API key"),
        ({"Authorization": f"Bearer {PRIMARY.upper()}"}, "Invalid API key"),
        ({"Authorization": f"Bearer {PRIMARY} {PRIMARY}"}, "Invalid API key"),
        ({"Authorization": b"Bearer \xff\xfe"}, "Invalid API key"),
    ],
)
def test_request_without_a_known_key_is_401(
    stateless: str, method: str, path: str, headers: dict[str, str | bytes], prefix: str
) -> None:
    """Every operation wants the whole key behind the Bearer scheme, and says whether it was missing or wrong."""
    response = httpx.request(method, stateless + path, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"].startswith(prefix)
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert PRIMARY[:-1] not in response.text


def test_key_in_the_query_is_no_key(api: Api) -> None:
    """Only the header counts."""
    del api.http.headers["authorization"]
    response = api.http.get(f"{BUILD}?api_key={PRIMARY}&Authorization=Bearer%20{PRIMARY}")
    assert (response.status_code, response.json()["error"][:15]) == (401, "Missing API key")
    assert PRIMARY not in response.text


def test_two_authorization_headers_are_401(api: Api) -> None:
    """A request cannot speak for two accounts."""
    response = api.http.get(BUILD, headers=[("Authorization", f"Bearer {PRIMARY}"), ("Authorization", "Bearer x")])
    assert response.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_scheme_is_compared_without_case(api: Api, scheme: str) -> None:
    """Schemes are case-insensitive, and more than one space may follow."""
    assert api.http.get(BUILD, headers={"Authorization": f"{scheme} {PRIMARY}"}).status_code == 404


def test_refused_request_changes_nothing(api: Api, connect: Callable[..., Api]) -> None:
    """Without a key nothing is published, built or deleted."""
    api.publish()
    stranger = connect(key=None, to=api.url)
    assert {stranger.publish("other").status_code, stranger.start().status_code, stranger.delete().status_code} == {401}
    assert api.template("other").status_code == 404
    assert api.status().json()["status"] == "not_built"


def test_error_is_json_with_a_text_and_a_request_id(api: Api) -> None:
    """Errors are objects with ``error`` and ``request_id``."""
    response = api.status("unknown")
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error", "request_id"}
    assert uuid.UUID(response.json()["request_id"]).version == 4


def test_request_ids_repeat_with_the_seed_and_differ_within_a_run(connect: Callable[..., Api]) -> None:
    """Two twins with one seed give the same ids in the same order."""
    first, second = (
        [api.status("unknown").json()["request_id"] for _ in range(3)] for api in (connect(seed=7), connect(seed=7))
    )
    assert first == second
    assert len(set(first)) == 3


def test_account_below_scale_cannot_publish_or_build(api: Api, connect: Callable[..., Api]) -> None:
    """Publishing and building need the plan; the plan is asked for before the version."""
    restricted = connect(key=RESTRICTED, to=api.url)
    for response in (restricted.publish(), restricted.start("legacy-demo"), restricted.start("unknown")):
        assert (response.status_code, response.json()["code"]) == (403, "UPGRADE_REQUIRED")
    assert restricted.status("legacy-demo").json()["status"] == "not_built"
    assert restricted.template().status_code == 404


def test_account_below_scale_can_look_cancel_and_delete(api: Api, connect: Callable[..., Api]) -> None:
    """The plan gates nothing else."""
    restricted = connect(key=RESTRICTED, to=api.url)
    assert restricted.template("legacy-demo").status_code == 200
    assert restricted.status("unknown").status_code == 404
    assert (restricted.cancel("legacy-demo").status_code, restricted.cancel("legacy-demo").json()) == (
        404,
        {"status": "idle"},
    )
    assert restricted.delete("legacy-demo").json() == {"deleted": True}
    assert restricted.template("legacy-demo").status_code == 404


def test_other_accounts_see_nothing_and_cancel_nothing(slow: Api, connect: Callable[..., Api]) -> None:
    """A version of another account is a 404 on every operation, and its build goes on."""
    slow.publish()
    slow.start()
    other = connect(key=SECOND, to=slow.url)
    answers = [
        other.template(),
        other.delete(),
        other.start(),
        other.status(),
        other.cancel(),
        other.http.get(f"{BUILD}/events"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert all("error" in answer.json() for answer in answers)
    assert slow.status().json()["status"] == "building"
    assert slow.cancel().status_code == 202


def test_accounts_do_not_share_builds(api: Api, connect: Callable[..., Api]) -> None:
    """The same document has the same digest in two accounts, and each builds it itself."""
    mine = api.built()
    other = connect(key=SECOND, to=api.url)
    other.publish()
    assert other.status().json() == {"ref": mine["ref"], "digest": mine["digest"], "status": "not_built"}
    assert other.start().json()["status"] == "building"


def test_account_that_deletes_ends_its_own_build_only(slow: Api, connect: Callable[..., Api]) -> None:
    """The same digest in two accounts is two builds, and the end of one says nothing about the other."""
    other = connect(key=SECOND, to=slow.url)
    for account in (slow, other):
        account.publish(query="?auto_build=true")
    slow.delete()
    slow.publish()
    assert slow.status().json()["status"] == "not_built"
    assert other.status().json()["status"] == "building"


@pytest.mark.parametrize("name", ["claude-code", "openclaw", "hermes-agent"])
@pytest.mark.parametrize("key", [PRIMARY, RESTRICTED])
def test_curated_templates_can_be_read_by_all_and_changed_by_none(
    api: Api, connect: Callable[..., Api], name: str, key: str
) -> None:
    """Curated versions are ready; building, cancelling and deleting them is 403."""
    reader = connect(key=key, to=api.url)
    assert reader.template(name, namespace="system").json()["ref"] == f"system/{name}@1.0.0"
    status = reader.status(name, namespace="system").json()
    assert (status["status"], status["build_time_ms"]) == ("ready", 118420)
    last = reader.events(name, namespace="system")[-1]
    assert (last["phase"], last["level"], "118.4 s" in last["line"]) == ("ready", "success", True)
    changes = [action(name, namespace="system") for action in (reader.start, reader.cancel, reader.delete)]
    assert {change.status_code for change in changes} == {403}
    assert reader.status(name, namespace="system").json() == status


def test_nobody_publishes_into_the_curated_namespace(api: Api) -> None:
    """An envelope that names the namespace ``system`` is 403."""
    response = api.http.post("/templates", json={"namespace": "system", "template": document("claude-code")})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/templates/default/unknown/1.0.0/build",
        "/templates/default/demo/1.0.1/build",
        "/templates/other/demo/1.0.0/build",
        "/templates/Default/demo/1.0.0/build",
        "/templates/default/demo/v1.0.0/build",
        "/templates/default/demo/1.0.0/build/",
        "/templates/default/demo//1.0.0/build",
        "/templates//default/demo/1.0.0/build",
        "/templates/default/demo/1.0.0/Build",
        "/templates/default/demo%2F1.0.0/build",
        "/templates/default%2Fdemo/1.0.0/build",
        "/templates/default/demo/1.0.0%2Fbuild",
        "/templates/default/demo%00/1.0.0/build",
        "/templates/default/demo%FF/1.0.0/build",
        "/templates/default/demo%C0%AF/1.0.0/build",
        "/templates/default/demo%/1.0.0/build",
        "/templates/default/demo%20/1.0.0/build",
        "/templates/default/demo%0D%0A/1.0.0/build",
        "/templates/default/d%C3%A9mo/1.0.0/build",
        "/templates/default/%F0%9F%94%A5/1.0.0/build",
        "/templates/default/demo/%D9%A1.0.0/build",
        "/templates/default/demo/../demo/1.0.0/build",
        "/templates/../templates/default/demo/1.0.0/build",
        "/templates/default/demo/1.0.0/build/../build",
        "/templates/default/demo/%2e%2e/build",
        "/templates/default/demo;a=b/1.0.0/build",
        "/templates/default/demo/1.0.0/build%3Fx=1",
        "/templates/default/" + "a" * 8192 + "/1.0.0/build",
        "/templates/default/demo/" + "%41" * 3000 + "/build",
        "/templates/default/demo/1.0.0/build/event",
        "/templates/default/demo/1.0.0/builds",
        "/templates/default/demo",
        "/templates/",
        "//templates",
        "/",
        "",
    ],
)
def test_path_that_names_nothing_is_404_and_json(stateless: str, path: str) -> None:
    """Odd spellings are neither a version nor a crash."""
    status, body = raw_get(stateless, f"/api{path}")
    assert (status, set(body)) == (404, {"error", "request_id"})


@pytest.mark.parametrize(
    "path", ["/templates/default/demo/1.0.0/build", "/", "/apis/templates/default/demo/1.0.0/build"]
)
def test_path_outside_the_base_path_is_404(api: Api, path: str) -> None:
    """The base path is part of every path, and its end is a slash."""
    api.publish()
    assert raw_get(api.url, path)[0] == 404


def test_percent_encoded_letter_names_the_same_version(api: Api) -> None:
    """An unreserved character and its encoding are equivalent."""
    api.publish()
    status, body = raw_get(api.url, "/api/templates/default/%64emo/1%2E0.0/build")
    assert (status, body["ref"]) == (200, "default/demo@1.0.0")


def test_bytes_that_are_no_http_path_never_give_500(api: Api) -> None:
    """Raw bytes beyond ASCII in the request line are refused, and the server goes on."""
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        head = f"\xff/1.0.0/build HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {PRIMARY}\r\n\r\n"
        connection.sendall(b"GET /api/templates/default/" + head.encode("latin-1"))
        assert connection.recv(4096).split(b" ")[1] in (b"400", b"404")
    assert api.status().status_code == 404


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/templates", {"POST"}),
        ("/templates/default/demo/1.0.0", {"GET", "HEAD", "DELETE"}),
        (BUILD, {"GET", "HEAD", "POST", "DELETE"}),
        (f"{BUILD}/events", {"GET", "HEAD"}),
    ],
)
def test_wrong_method_is_405_and_names_the_right_ones(api: Api, path: str, allow: set[str]) -> None:
    """Every method that is not allowed is answered alike, and Allow is complete."""
    api.publish()
    methods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
    for method in sorted(methods - allow):
        response = api.http.request(method, path)
        assert (method, response.status_code) == (method, 405)
        assert set(response.headers["allow"].split(", ")) == allow
        assert method == "HEAD" or set(response.json()) == {"error", "request_id"}


def test_head_is_answered_like_get_without_a_body(api: Api) -> None:
    """HEAD has the status and the headers of GET."""
    api.built()
    for path in (BUILD, f"{BUILD}/events", "/templates/default/demo/1.0.0", "/templates/default/nothing/1.0.0/build"):
        get, head = api.http.get(path), api.http.head(path)
        # HEAD may lack what only making the body would tell: RFC 9110, section 9.3.2.
        dropped = {"date", "transfer-encoding"}
        assert head.status_code == get.status_code
        assert head.content == b""
        assert {name: head.headers[name] for name in head.headers if name not in dropped} == {
            name: get.headers[name] for name in get.headers if name not in dropped
        }


def test_head_does_not_wait_for_a_build(slow: Api) -> None:
    """The headers of a stream are known before its end, and the connection is free for the next request."""
    slow.publish(query="?auto_build=true")
    assert slow.http.head(f"{BUILD}/events").status_code == 200
    assert slow.status().status_code == 200


def test_crash_is_500_with_the_shape_of_an_error(connect: Callable[..., Api], caplog: pytest.LogCaptureFixture) -> None:
    """An exception inside the server reaches its log and never the client."""

    class Crashing(Engine):
        def status_body(self, version: Any) -> dict[str, Any]:
            raise ZeroDivisionError("inner secret")

    api = connect(engine=Crashing)
    api.publish()
    response = api.status()
    assert (response.status_code, set(response.json())) == (500, {"error", "request_id"})
    assert "secret" not in response.text
    assert "inner secret" in caplog.text
    assert api.template().status_code == 200


def test_parts_can_be_replaced(connect: Callable[..., Api]) -> None:
    """An engine, an application and a wrapper break one promise each; the rest stays."""

    class Generous(Engine):
        def may_build(self, account: Account) -> bool:
            return True

    class Wrong(App):
        def cancel_build(self, version: Any) -> Any:
            return self.get_build(version)

    def wrap(inner: Any) -> Any:
        async def outer(scope: Any, receive: Any, send: Any) -> None:
            async def send_marked(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-marked", b"yes"))
                await send(message)

            await inner(scope, receive, send_marked)

        return outer

    api = connect(key=RESTRICTED, engine=Generous, app=Wrong, wrap=wrap)
    assert api.publish().status_code == 201
    assert api.start().headers["x-marked"] == "yes"
    assert api.cancel().status_code == 200
