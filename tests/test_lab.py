"""The limiters of others that tests/lab puts in front of a twin do what they are there for."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import PRIMARY, SECOND
from tests.lab import express, haproxy, nginx, processes, python_limiters
from tests.lab.processes import Command, Place, before_twin
from touchstone.twin import TwinSettings

LIMIT = 3
# Nothing of it passes while a test runs; nginx writes it as a rate.
WINDOW_S, RATE = 3600, "1r/m"
# Builds last as long as the test.
ENDLESS = TwinSettings(build_s=600.0)

Front = Callable[..., AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key, behind a limiter."""

    client: httpx.Client

    def publish(self, name: str) -> str:
        """Publishes a version; the path of its build."""
        steps = {"run": [f"echo {name}"]}
        document = {"api_version": "orgo.ai/v1", "template": {"name": name, "version": "1.0.0"}, "build": steps}
        assert self.client.post("templates", json=document).status_code == 201
        return f"templates/default/{name}/1.0.0/build"

    def start(self, path: str) -> int:
        """The status that a start of a build is answered with."""
        return self.client.post(path).status_code

    def read(self, path: str) -> int:
        """The status that a look at a build is answered with."""
        return self.client.get(path).status_code

    def state(self, path: str) -> str:
        """How far a build has come."""
        return str(self.client.get(path).json()["status"])


@contextmanager
def calling(url: str, key: str = PRIMARY) -> Iterator[Caller]:
    """A caller with a key."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
        yield Caller(client)


def refusing(name: str, missing: str, front: Front) -> Any:
    """A limiter that lets LIMIT requests through and refuses the next one."""
    return pytest.param(front, id=name, marks=pytest.mark.skipif(bool(missing), reason=missing))


def of_limits(strategy: python_limiters.Strategy) -> Front:
    """One strategy of the package limits."""
    return lambda settings, _folder, **more: python_limiters.limits(settings, strategy, LIMIT, WINDOW_S, **more)


def of_pyrate(algorithm: python_limiters.Algorithm) -> Front:
    """One algorithm of the package pyrate-limiter."""
    return lambda settings, _folder, **more: python_limiters.pyrate_limiter(
        settings, algorithm, LIMIT, WINDOW_S, **more
    )


REFUSING = (
    refusing("limits-fixed-window", "", of_limits("fixed-window")),
    refusing("limits-moving-window", "", of_limits("moving-window")),
    refusing("limits-sliding-window-counter", "", of_limits("sliding-window-counter")),
    refusing("pyrate-sliding-window-log", "", of_pyrate("SlidingWindowLog")),
    refusing("pyrate-fixed-window", "", of_pyrate("FixedWindow")),
    refusing("pyrate-gcra", "", of_pyrate("GCRA")),
    refusing("pyrate-token-bucket", "", of_pyrate("TokenBucket")),
    refusing(
        "nginx-limit-req-nodelay",
        nginx.missing(),
        lambda *where, **more: nginx.limit_req(*where, RATE, LIMIT - 1, "nodelay", **more),
    ),
    refusing(
        "haproxy-http-req-rate",
        haproxy.missing(),
        lambda *where, **more: haproxy.http_req_rate(*where, LIMIT, WINDOW_S, **more),
    ),
    refusing(
        "express-rate-limit",
        express.missing(),
        lambda *where, **more: express.express_rate_limit(*where, LIMIT, WINDOW_S, **more),
    ),
)

with_nginx = pytest.mark.skipif(bool(nginx.missing()), reason=nginx.missing())
with_express = pytest.mark.skipif(bool(express.missing()), reason=express.missing())

CAPS = (
    pytest.param(nginx.limit_conn, id="nginx-limit-conn", marks=with_nginx),
    refusing("haproxy-conn-cur", haproxy.missing(), haproxy.conn_cur),
)


@pytest.mark.parametrize("front", REFUSING)
def test_start_above_the_limit_is_refused_before_the_twin(front: Front, tmp_path: Path) -> None:
    """As many starts as the limit allows are accepted; the next ones are answered 429, and the twin never gets them."""
    with front(ENDLESS, tmp_path) as url, calling(url) as caller:
        paths = [caller.publish(f"burst-{number}") for number in range(LIMIT + 2)]
        assert [caller.start(path) for path in paths] == [202] * LIMIT + [429, 429]
        assert [caller.state(path) for path in paths] == ["building"] * LIMIT + ["not_built"] * 2


@pytest.mark.parametrize("front", REFUSING)
def test_other_operations_pass_while_starts_are_refused(front: Front, tmp_path: Path) -> None:
    """A caller who may start nothing any more may still publish, read, cancel and delete, as often as it likes."""
    with front(ENDLESS, tmp_path) as url, calling(url) as caller:
        path = caller.publish("one")
        starts = [caller.start(path) for _ in range(LIMIT + 1)]
        assert starts[0] == 202
        assert starts[-1] == 429
        assert [caller.read(path) for _ in range(2 * LIMIT)] == [200] * (2 * LIMIT)
        assert caller.client.delete(path).status_code == 202
        assert caller.client.delete(caller.publish("two").removesuffix("/build")).status_code == 200


@pytest.mark.parametrize("front", REFUSING)
def test_keys_have_limits_of_their_own(front: Front, tmp_path: Path) -> None:
    """What one key has used up, another one still has."""
    with front(ENDLESS, tmp_path) as url, calling(url) as caller, calling(url, SECOND) as other:
        path = caller.publish("one")
        assert [caller.start(path) for _ in range(LIMIT + 1)][-1] == 429
        assert other.start(other.publish("two")) == 202


@pytest.mark.parametrize("front", REFUSING)
def test_reads_pass_the_limiter_where_they_are_what_it_counts(front: Front, tmp_path: Path) -> None:
    """A limiter on reads refuses the read above the limit, and no start."""
    with front(ENDLESS, tmp_path, operation="getBuild") as url, calling(url) as caller:
        path = caller.publish("one")
        assert [caller.read(path) for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
        starts = [caller.start(caller.publish(f"more-{number}")) for number in range(LIMIT + 1)]
        assert starts == [202] * (LIMIT + 1)


@pytest.mark.parametrize("front", REFUSING)
def test_events_arrive_before_the_stream_ends(front: Front, tmp_path: Path) -> None:
    """The first event of a build reaches the client while the build goes on."""
    with front(ENDLESS, tmp_path) as url, calling(url) as caller:
        path = caller.publish("one")
        assert caller.start(path) == 202
        with caller.client.stream("GET", f"{path}/events") as stream:
            assert next(stream.iter_lines()).startswith("data: ")
        assert caller.state(path) == "building"


@with_nginx
@pytest.mark.parametrize(("delay", "waiting"), [(None, 2), (1, 1)], ids=["burst", "delay"])
def test_start_in_the_queue_is_answered_after_those_above_it(delay: int | None, waiting: int, tmp_path: Path) -> None:
    """With a burst of two, four starts at once after a first one find two places: those who wait are answered last."""
    with nginx.limit_req(ENDLESS, tmp_path, "1r/s", 2, delay) as url, calling(url) as caller:
        first, *paths = [caller.publish(f"burst-{number}") for number in range(5)]
        with ThreadPoolExecutor(len(paths)) as pool:
            assert caller.start(first) == 202
            answers = [future.result() for future in as_completed(pool.submit(caller.start, path) for path in paths)]
        assert sorted(answers) == [202, 202, 429, 429]
        assert answers[-waiting:] == [202] * waiting
        assert sorted(caller.state(path) for path in paths) == ["building", "building", "not_built", "not_built"]


@pytest.mark.parametrize("front", CAPS)
def test_request_above_the_cap_is_refused_while_others_are_in_flight(front: Front, tmp_path: Path) -> None:
    """Of five reads at once two are answered and three refused; once they are over the next ones are answered again."""
    settings = TwinSettings(latency_s=1.0)
    with (
        front(settings, tmp_path, 2, operation="getBuild") as url,
        calling(url) as caller,
        ThreadPoolExecutor(5) as pool,
    ):
        path = caller.publish("one")
        five: list[Future[int]] = [pool.submit(caller.read, path) for _ in range(5)]
        assert [future.result() for future in as_completed(five)] == [429, 429, 429, 200, 200]
        two = [pool.submit(caller.read, path) for _ in range(2)]
        assert [future.result() for future in two] == [200, 200]


@pytest.mark.parametrize("front", CAPS)
def test_starts_one_after_the_other_never_meet_the_cap(front: Front, tmp_path: Path) -> None:
    """A cap of one is no limit for a caller who waits for each answer, though the builds go on."""
    with front(ENDLESS, tmp_path, 1) as url, calling(url) as caller:
        paths = [caller.publish(f"serial-{number}") for number in range(5)]
        assert [caller.start(path) for path in paths] == [202] * 5


@with_express
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("draft-8", {"ratelimit", "ratelimit-policy", "retry-after"}),
        (
            "draft-6",
            {"ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after"},
        ),
        (None, set()),
    ],
)
def test_refusal_of_express_carries_the_fields_asked_for(
    fields: express.Fields | None, expected: set[str], tmp_path: Path
) -> None:
    """RateLimit fields are there in the dialect that was asked for, and none at all where none was."""
    with express.express_rate_limit(ENDLESS, tmp_path, 1, WINDOW_S, fields) as url, calling(url) as caller:
        path = caller.publish("one")
        assert caller.start(path) == 202
        refused = caller.client.post(path)
        assert refused.status_code == 429
        assert {name for name in refused.headers if "rate" in name or name == "retry-after"} == expected


@with_nginx
def test_configuration_that_nginx_refuses_is_in_the_message(tmp_path: Path) -> None:
    """A process that dies at once says why in the error."""
    with (
        pytest.raises(RuntimeError, match=r'nginx ended with 1; it said: .*invalid rate "rate=fast"'),
        nginx.limit_req(ENDLESS, tmp_path, "fast"),
    ):
        pass


def python(code: str) -> Callable[[Place], Command]:
    """Runs *code*, which knows its listener as `fd`, instead of a limiter."""
    return lambda place: Command((sys.executable, "-c", f"fd = {place.listener}\n{code}"))


def test_death_of_a_limiter_is_an_error_at_the_end(tmp_path: Path) -> None:
    """A process that answers once and dies is complained of, though the test saw nothing of it."""
    answers_once = """
import os, pathlib, socket
pathlib.Path("pid").write_text(str(os.getpid()))
caller, _ = socket.socket(fileno=fd).accept()
caller.recv(65536)
caller.sendall(b"HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n")
raise SystemExit("had enough")
"""
    with (
        pytest.raises(RuntimeError, match="ended with 1; it said: had enough"),
        before_twin(ENDLESS, tmp_path, python(answers_once)),
    ):
        # Until it is over, and without taking note of it.
        os.waitid(os.P_PID, int((tmp_path / "pid").read_text("utf-8")), os.WEXITED | os.WNOWAIT)


def test_missing_program_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program is absent, the reason for skipping says what is missing and what brings it."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(processes, "_SYSTEM", ())
    assert nginx.missing() == "nginx is not installed: apt-get install nginx-light"
    assert haproxy.missing() == "HAProxy is not installed: apt-get install haproxy"
    assert express.missing() == "Node.js is not installed: apt-get install nodejs npm"


def test_missing_package_of_npm_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where Node.js is there and the package is not, the reason for skipping says so."""
    monkeypatch.setattr(express, "program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(express, "_HERE", tmp_path)
    assert express.missing() == "express-rate-limit is not installed: npm ci --prefix tests/lab"


def test_lock_of_npm_holds_hashes_and_no_registry() -> None:
    """Each package in package-lock.json has a hash, and none says which registry it comes from."""
    lock = json.loads((Path(__file__).parent / "lab" / "package-lock.json").read_text("utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert "node_modules/express-rate-limit" in packages
    assert [name for name, entry in packages.items() if "integrity" not in entry or "resolved" in entry] == []
