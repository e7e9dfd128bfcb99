"""`touchstone probe` identifies limiters that nobody here wrote, from what they answer alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.command import Shell
from tests.lab import proxies
from tests.lab.python_limiters import Admits, around_twin, limits, pyrate_limiter
from touchstone.facts.identity import Identity
from touchstone.facts.runlog import read
from touchstone.twin import RateLimit, TwinSettings

# With many other tests beside them probes think longer, and take longer.
pytestmark = pytest.mark.alone

# `make thorough ARGS=probe-lab` tries each three times, with other stimuli; ``FLAGS="-k first"`` once.
REPETITIONS = (pytest.param(0, id="first"), pytest.param(1, id="second"), pytest.param(2, id="third"))
# Probes mostly wait: so many at once do not disturb each other.
AT_ONCE = 3
# Windows and rates are known to a share of themselves.
NEAR = 0.02

Front = Callable[[Path], AbstractContextManager[str]]


def proxy(command: Callable[[proxies.Place], proxies.Command], latency_s: float = 0.0) -> Front:
    """A limiter that is a program; with a latency requests can be under way at once."""
    settings = TwinSettings(build_s=600.0, latency_s=latency_s)
    return lambda folder: proxies.before_twin(settings, folder, command)


def python(make: Callable[[], Admits]) -> Front:
    """A limiter that is a package of Python; each probe gets one of its own."""
    return lambda _folder: around_twin(TwinSettings(build_s=600.0), make())


# By name: the limiter, and as what `touchstone serve --rate` would be limited alike.
LIMITERS: dict[str, tuple[Front, str]] = {
    "limits-fixed-window": (python(lambda: limits("fixed-window", 4, 1)), "fixed-window:4/1"),
    "limits-moving-window": (python(lambda: limits("moving-window", 4, 1)), "sliding-log:4/1"),
    "limits-counter": (python(lambda: limits("sliding-window-counter", 6, 1)), "sliding-counter:6/1"),
    "pyrate-sliding-window-log": (python(lambda: pyrate_limiter("SlidingWindowLog", 4, 0.6)), "sliding-log:4/0.6"),
    "pyrate-fixed-window": (python(lambda: pyrate_limiter("FixedWindow", 6, 0.8)), "fixed-window:6/0.8,opens=clock"),
    "pyrate-gcra": (python(lambda: pyrate_limiter("GCRA", 10, 1, 4)), "token-bucket:10/1,burst=4"),
    "pyrate-token-bucket": (python(lambda: pyrate_limiter("TokenBucket", 5, 0.8)), "token-bucket:5/0.8"),
    # A bucket of nginx has room for one more than its burst.
    "nginx-limit-req-nodelay": (proxy(proxies.limit_req("8r/s", 4, "nodelay")), "token-bucket:8/1,burst=5"),
    "nginx-limit-req-burst": (proxy(proxies.limit_req("5r/s", 4)), "leaky-bucket:5/1,burst=4"),
    "nginx-limit-req-delay": (proxy(proxies.limit_req("5r/s", 6, "delay=2")), "leaky-bucket:5/1,burst=6,delay=2"),
    "nginx-limit-conn": (proxy(proxies.limit_conn(3), 0.05), "concurrency:3"),
    "haproxy-conn-cur": (proxy(proxies.conn_cur(3), 0.05), "concurrency:3"),
    "haproxy-http-req-rate": (
        proxy(proxies.http_req_rate(6, 0.8)),
        "sliding-counter:6/0.8,opens=first,rule=below,refused=count",
    ),
    "express-rate-limit": (proxy(proxies.express_rate_limit(5, 0.8)), "fixed-window:5/0.8"),
}


def identified(name: str, repetition: int, folder: Path) -> Identity:
    """What a probe finds; one that is not sure says to probe again, and that is done once.

    A machine that stands still for a moment looks like a limiter that was changed.
    """
    first = probed(name, repetition, folder / "first")
    return first if first.sure else probed(name, repetition, folder / "again")


def probed(name: str, repetition: int, folder: Path) -> Identity:
    """What one probe finds."""
    front, _ = LIMITERS[name]
    behind, shell = folder / "limiter", Shell(folder)
    behind.mkdir(parents=True)
    with front(behind) as url:
        seed = ("--seed", str(20 + repetition))
        ended = shell.run("probe", "--url", url, "--report-dir", "run", "--max-seconds", "60", *seed)
    # Some of them say on 429 what the contract does not allow, which is another matter than which limiter it is.
    assert ended.code in (0, 1, 3), ended.err
    story = read(folder / "run" / "runlog.jsonl").probe
    assert story is not None
    assert story.identified is not None
    return story.identified.identity


@pytest.fixture(scope="module")
def identities(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Any, Any]]:
    """The identities to come of all limiters that were picked, by name and repetition."""
    found: dict[tuple[str, int], Future[Identity]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item in request.session.items:
            if isinstance(item, pytest.Function) and item.path == request.path and not any(item.iter_markers("skip")):
                params: Any = item.callspec.params
                name, repetition = params["name"], params["repetition"]
                folder = tmp_path_factory.mktemp(f"{name}-{repetition}")
                found[name, repetition] = pool.submit(identified, name, repetition, folder)
        yield found
        pool.shutdown(cancel_futures=True)


def row(name: str) -> Any:
    """A limiter, to be skipped where something has to be installed for it."""
    missing = proxies.missing(name)
    return pytest.param(name, marks=[pytest.mark.skip(missing)] if missing else [])


@pytest.mark.parametrize("repetition", REPETITIONS)
@pytest.mark.parametrize("name", [row(name) for name in LIMITERS])
def test_limiter_is_identified_with_its_numbers(
    name: str, repetition: int, identities: dict[tuple[str, int], Future[Identity]]
) -> None:
    known, expected = identities[name, repetition].result(), RateLimit.parse(LIMITERS[name][1])
    found = RateLimit.parse(known.text)
    options = [[each.options.get(option) for option in ("opens", "refused", "delay")] for each in (found, expected)]
    assert (found.family, options[0], found.also) == (expected.family, options[1], None), known
    if expected.family in ("token-bucket", "leaky-bucket"):
        assert found.options.get("burst", found.limit) == expected.options.get("burst", expected.limit)
        assert found.limit / found.window_s == pytest.approx(expected.limit / expected.window_s, rel=NEAR)
    else:
        assert found.limit == expected.limit
        assert found.window_s == pytest.approx(expected.window_s, rel=NEAR)
