"""`touchstone probe` names limiters that nobody here wrote, from what they answer alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.command import Shell
from tests.lab import express, haproxy, nginx, python_limiters
from touchstone.facts.identity import Identity
from touchstone.facts.runlog import read
from touchstone.twin import RateLimit, TwinSettings

# With many other tests beside them probes think longer, and take longer.
pytestmark = pytest.mark.alone

# `make thorough ARGS=probe-lab` meets each three times, with other stimuli; ``FLAGS="-k first"`` once.
REPETITIONS = (pytest.param(0, id="first"), pytest.param(1, id="second"), pytest.param(2, id="third"))
# Probes mostly wait: so many at once do not disturb each other.
AT_ONCE = 3

# Nothing of a build ends by itself while a probe runs.
TWIN = TwinSettings(build_s=600.0)
# Answers that take their time, so that requests can be under way at once.
SLOW = TwinSettings(build_s=600.0, latency_s=0.05)
# Windows and rates are known to a share of themselves.
NEAR = 0.02

Front = Callable[[TwinSettings, Path], AbstractContextManager[str]]


def of_limits(strategy: python_limiters.Strategy, limit: int, window_s: int) -> Front:
    """One strategy of the package limits."""
    return lambda settings, _folder: python_limiters.limits(settings, strategy, limit, window_s)


def of_pyrate(algorithm: python_limiters.Algorithm, limit: int, window_s: float, burst: int | None = None) -> Front:
    """One algorithm of the package pyrate-limiter."""
    return lambda settings, _folder: python_limiters.pyrate_limiter(settings, algorithm, limit, window_s, burst)


def of_nginx(rate: str, burst: int) -> Front:
    """The bucket of nginx, which has room for one more than its burst."""
    return lambda settings, folder: nginx.limit_req(settings, folder, rate, burst, "nodelay")


def of_queue(rate: str, burst: int, delay: int | None = None) -> Front:
    """The queue of nginx."""
    return lambda settings, folder: nginx.limit_req(settings, folder, rate, burst, delay)


def of_express(limit: int, window_s: float) -> Front:
    """The window of express-rate-limit."""
    return lambda settings, folder: express.express_rate_limit(settings, folder, limit, window_s)


# By name: what has to be installed, the limiter, and as what `touchstone serve --rate` would be limited alike.
LIMITERS: dict[str, tuple[str, Front, str]] = {
    "limits-fixed-window": ("", of_limits("fixed-window", 4, 1), "fixed-window:4/1"),
    "limits-moving-window": ("", of_limits("moving-window", 4, 1), "sliding-log:4/1"),
    "limits-sliding-window-counter": ("", of_limits("sliding-window-counter", 6, 1), "sliding-counter:6/1"),
    "pyrate-sliding-window-log": ("", of_pyrate("SlidingWindowLog", 4, 0.6), "sliding-log:4/0.6"),
    "pyrate-fixed-window": ("", of_pyrate("FixedWindow", 6, 0.8), "fixed-window:6/0.8,opens=clock"),
    "pyrate-gcra": ("", of_pyrate("GCRA", 10, 1, 4), "token-bucket:10/1,burst=4"),
    "pyrate-token-bucket": ("", of_pyrate("TokenBucket", 5, 0.8), "token-bucket:5/0.8"),
    "nginx-limit-req-nodelay": (nginx.missing(), of_nginx("8r/s", 4), "token-bucket:8/1,burst=5"),
    "nginx-limit-req-burst": (nginx.missing(), of_queue("5r/s", 4), "leaky-bucket:5/1,burst=4"),
    "nginx-limit-req-delay": (nginx.missing(), of_queue("5r/s", 6, 2), "leaky-bucket:5/1,burst=6,delay=2"),
    "nginx-limit-conn": (nginx.missing(), lambda _, folder: nginx.limit_conn(SLOW, folder, 3), "concurrency:3"),
    "haproxy-conn-cur": (haproxy.missing(), lambda _, folder: haproxy.conn_cur(SLOW, folder, 3), "concurrency:3"),
    "haproxy-http-req-rate": (
        haproxy.missing(),
        lambda settings, folder: haproxy.http_req_rate(settings, folder, 6, 0.8),
        "sliding-counter:6/0.8,opens=first,rule=below,refused=count",
    ),
    "express-rate-limit": (express.missing(), of_express(5, 0.8), "fixed-window:5/0.8"),
}


def probed(name: str, repetition: int, folder: Path) -> Identity:
    """What a probe says of one of them; one that is not sure says to probe again, and that is done once.

    A machine that stands still for a moment looks like a limiter that was changed. One that is sure is not asked twice.
    """
    first = asked(name, repetition, folder / "first")
    return first if first.sure else asked(name, repetition, folder / "again")


def asked(name: str, repetition: int, folder: Path) -> Identity:
    """What one probe says."""
    _, front, _ = LIMITERS[name]
    behind, shell = folder / "limiter", Shell(folder)
    behind.mkdir(parents=True)
    with front(TWIN, behind) as url:
        seed = ("--seed", str(20 + repetition))
        ended = shell.run("probe", "--url", url, "--report-dir", "run", "--max-seconds", "60", *seed)
    # Some of them say on 429 what the contract does not allow, which is another matter than which limiter it is.
    assert ended.code in (0, 1, 3), ended.err
    story = read(folder / "run" / "runlog.jsonl").probe
    assert story is not None
    assert story.identified is not None
    return story.identified.identity


@pytest.fixture(scope="module")
def probes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Any, Any]]:
    """The identities to come of all that are asked for, by name and repetition."""
    found: dict[tuple[str, int], Future[Identity]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item in request.session.items:
            if isinstance(item, pytest.Function) and item.path == request.path and not any(item.iter_markers("skip")):
                name, repetition = item.callspec.params["name"], item.callspec.params["repetition"]
                folder = tmp_path_factory.mktemp(f"{name}-{repetition}")
                found[name, repetition] = pool.submit(probed, name, repetition, folder)
        yield found
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("repetition", REPETITIONS)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.skip(missing)] if missing else [])
        for name, (missing, _, _) in LIMITERS.items()
    ],
)
def test_limiter_is_named_with_its_numbers(
    name: str, repetition: int, probes: dict[tuple[str, int], Future[Identity]]
) -> None:
    """The likeliest family and its counts are the right ones, and its times nearly so."""
    found, expected = probes[name, repetition].result(), RateLimit.parse(LIMITERS[name][2])
    named = RateLimit.parse(found.text)
    of_named, of_expected = (
        [each.options.get(name) for name in ("opens", "refused", "delay")] for each in (named, expected)
    )
    assert (named.family, of_named, named.also) == (expected.family, of_expected, None), found
    if expected.family in ("token-bucket", "leaky-bucket"):
        assert named.options.get("burst", named.limit) == expected.options.get("burst", expected.limit)
        assert named.limit / named.window_s == pytest.approx(expected.limit / expected.window_s, rel=NEAR)
    else:
        assert named.limit == expected.limit
        assert named.window_s == pytest.approx(expected.window_s, rel=NEAR)
