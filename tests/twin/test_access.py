"""Access: keys, plans, accounts, curated templates, and unknown paths."""

import uuid
from typing import Any

import pytest

from tests.twin.conftest import Serve
from tests.twin.virtual import PRIMARY, RESTRICTED, SECOND, Api, document
from touchstone.twin import Account, Engine

BUILD = "/templates/default/demo/1.0.0/build"
OPERATIONS = [
    ("POST", "/templates"),
    *((method, "/templates/default/demo/1.0.0") for method in ("GET", "DELETE")),
    *((method, BUILD) for method in ("POST", "GET", "DELETE")),
    ("GET", f"{BUILD}/events"),
    ("GET", "/no/such/path"),
]
ERROR = {"error", "request_id"}


@pytest.mark.parametrize(
    ("headers", "prefix"),
    [
        ([], "Missing API key"),
        *(
            ([("Authorization", value)], "Invalid API key")
            for value in (
                *("", "Bearer", PRIMARY, f"Basic {PRIMARY}", f"Bearer {PRIMARY}x", f"Bearer {PRIMARY[:-1]}"),
                *(f"Bearer {PRIMARY.upper()}", f"Bearer {PRIMARY} {PRIMARY}", "Bearer \xff\xfe"),
            )
        ),
        ([("Authorization", f"Bearer {PRIMARY}"), ("Authorization", "Bearer x")], "Invalid API key"),
    ],
)
def test_request_without_exactly_one_known_key_is_401(api: Api, headers: list[tuple[str, str]], prefix: str) -> None:
    api.publish()
    stranger = api.with_key(None)
    for method, path in OPERATIONS:
        answer = stranger.request(method, path, headers=headers)
        assert (answer.status, set(answer.json())) == (401, ERROR)
        assert answer.json()["error"].startswith(prefix)
        assert answer.header("www-authenticate").startswith("Bearer")
        assert PRIMARY[:-1] not in answer.text
    assert (api.template("other").status, api.state()) == (404, "not_built")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_scheme_is_compared_without_case(api: Api, scheme: str) -> None:
    assert api.request("GET", BUILD, headers=[("Authorization", f"{scheme} {PRIMARY}")]).status == 404


def test_accounts_are_a_setting(serve: Serve) -> None:
    api = serve(accounts=(Account("sk_live_mine"),))
    assert api.status().status == 401
    assert api.with_key("sk_live_mine").publish().status == 201


def test_request_ids_repeat_with_the_seed(serve: Serve) -> None:
    ids = []
    for _ in range(2):
        api = serve(seed=7)
        ids.append([api.status("unknown").json()["request_id"] for _ in range(3)])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3
    assert {uuid.UUID(one).version for one in ids[0]} == {4}


def test_plan_below_scale_gates_publishing_and_building_only(api: Api) -> None:
    restricted = api.with_key(RESTRICTED)
    for answer in (restricted.publish(), restricted.start("legacy-demo"), restricted.start("unknown")):
        assert (answer.status, answer.json()["code"]) == (403, "UPGRADE_REQUIRED")
    assert (restricted.template().status, restricted.template("legacy-demo").status) == (404, 200)
    assert (restricted.state("legacy-demo"), restricted.status("unknown").status) == ("not_built", 404)
    cancelled = restricted.cancel("legacy-demo")
    assert (cancelled.status, cancelled.json()) == (404, {"status": "idle"})
    assert restricted.delete("legacy-demo").json() == {"deleted": True}
    assert restricted.template("legacy-demo").status == 404


def test_versions_of_other_accounts_are_404_and_untouched(api: Api) -> None:
    api.publish("demo", "sleep 60")
    api.start()
    other = api.with_key(SECOND)
    for answer in (other.template(), other.delete(), other.start(), other.status(), other.cancel(), other.log()):
        assert (answer.status, set(answer.json())) == (404, ERROR)
    assert (api.state(), api.cancel().status) == ("building", 202)


def test_accounts_do_not_share_builds(api: Api) -> None:
    mine, other = api.built(), api.with_key(SECOND)
    other.publish()
    assert other.status().json() == {"ref": mine["ref"], "digest": mine["digest"], "status": "not_built"}
    assert other.start().json()["status"] == "building"
    # Deleting a version ends only builds of its account.
    api.publish("demo", query="?force=true")
    api.delete()
    assert other.state() == "building"


@pytest.mark.parametrize("name", ["claude-code", "openclaw", "hermes-agent"])
@pytest.mark.parametrize("key", [PRIMARY, RESTRICTED])
def test_curated_templates_are_read_by_all_and_changed_by_none(api: Api, name: str, key: str) -> None:
    reader, version = api.with_key(key), (name, "1.0.0", "system")
    assert reader.template(*version).json()["ref"] == f"system/{name}@1.0.0"
    status = reader.status(*version).json()
    assert (status["status"], status["build_time_ms"]) == ("ready", 118420)
    last = reader.log(*version).events()[-1]
    assert (last["phase"], last["level"], "118.4 s" in last["line"]) == ("ready", "success", True)
    changes = [action(*version) for action in (reader.start, reader.cancel, reader.delete)]
    assert {change.status for change in changes} == {403}
    assert reader.status(*version).json() == status
    wrapped = {"namespace": "system", "template": document(name)}
    assert reader.request("POST", "/templates", json_body=wrapped).status == 403


@pytest.mark.parametrize(
    "path",
    [
        *(f"/templates/default/{name}/1.0.0/build" for name in ["unknown", "demo/", "/demo", "demo%20", "demo%0D%0A"]),
        *(f"/templates/default/{name}/1.0.0/build" for name in ["demo%00", "demo%FF", "demo%C0%AF", "demo%"]),
        *(f"/templates/default/{name}/1.0.0/build" for name in ("%F0%9F%94%A5", "demo/../demo", "demo;a=b", "\xff")),
        *(f"/templates/default/demo/{rest}" for rest in ("1.0.1/build", "v1.0.0/build", "%D9%A1.0.0/build")),
        *(f"/templates/default/demo/{rest}" for rest in ("%2e%2e/build", "1.0.0%2Fbuild")),
        *(f"/templates/default/demo/{rest}" for rest in ("1.0.0/Build", "1.0.0/builds")),
        *(f"{BUILD}{rest}" for rest in ("/", "/../build", "%3Fx=1", "/event", "/events/")),
        *("/templates/other/demo/1.0.0/build", "/templates/Default/demo/1.0.0/build"),
        *("/templates/default/demo%2F1.0.0/build", "/templates/default%2Fdemo/1.0.0/build"),
        "/templates/default/" + "a" * 8192 + "/1.0.0/build",
        *("/templates/default/demo", "/templates/", "//templates", "/", "", f"s{BUILD}"),
    ],
)
def test_unknown_path_is_404(api: Api, path: str) -> None:
    api.publish()
    answer = api.request("GET", path)
    assert (answer.status, set(answer.json())) == (404, ERROR)


@pytest.mark.parametrize("base_path", ["", "/v2/deep"])
def test_base_path_is_part_of_every_path(serve: Serve, base_path: str) -> None:
    api = serve(base_path=base_path)
    assert api.built()["status"] == "ready"


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/templates", {"POST"}),
        ("/templates/default/demo/1.0.0", {"GET", "HEAD", "DELETE"}),
        (BUILD, {"GET", "HEAD", "POST", "DELETE"}),
        (f"{BUILD}/events", {"GET", "HEAD"}),
    ],
)
def test_wrong_method_is_405_with_the_allowed_ones(api: Api, path: str, allow: set[str]) -> None:
    api.publish()
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allow:
        answer = api.request(method, path)
        assert (method, answer.status) == (method, 405)
        assert set(answer.header("allow").split(", ")) == allow


def test_crash_is_500_and_reaches_the_log_only(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    class Crashing(Engine):
        def status_body(self, version: Any) -> dict[str, Any]:
            raise ZeroDivisionError("inner secret")

    api = serve(engine=Crashing)
    api.publish()
    answer = api.status()
    assert (answer.status, set(answer.json())) == (500, ERROR)
    assert "secret" not in answer.text
    assert "inner secret" in caplog.text
    assert api.template().status == 200
