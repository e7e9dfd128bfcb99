"""What Locust itself shows of a load: its statistics, and what is used of it without a promise in its documentation."""

from types import ModuleType, SimpleNamespace

import pytest

from touchstone.facts.sample import NO_ANSWER, UNSENT, Sample, Window


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module under test; importing Locust changes Python's sockets otherwise."""
    monkeypatch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
    from touchstone.loadgen import locust_listener

    return locust_listener


def window(outcome: str, took_s: float = 0.001) -> Window:
    counted = Window(0, 0, "startBuild", outcome)
    counted.add(Sample("startBuild", outcome, 0.0, 0.0, took_s, 10))
    return counted


def test_percentiles_of_locust_are_exact_to_a_thousandth(listener: ModuleType) -> None:
    from locust.stats import RequestStats

    # Each many times over, so that it does not matter how a rank is rounded.
    times_s = [time_s for time_s in (0.0001 * 1.37**number for number in range(41)) for _ in range(73)]
    stats = RequestStats()
    for time_s in times_s:
        listener.fold(stats, window("202", time_s), "")
    for entry in (stats.get("startBuild 202", ""), stats.total):
        assert (entry.num_requests, entry.total_content_length) == (len(times_s), 10 * len(times_s))
        assert entry.max_response_time == pytest.approx(max(times_s) * 1e3)
        assert entry.min_response_time == pytest.approx(min(times_s) * 1e3)
        assert entry.avg_response_time == pytest.approx(sum(times_s) / len(times_s) * 1e3)
        for share in (0.5, 0.9, 0.95, 0.99, 0.999):
            truth_ms = times_s[round(share * len(times_s)) - 1] * 1e3
            assert entry.get_response_time_percentile(share) == pytest.approx(truth_ms, rel=0.001)


def test_refusals_are_no_failures_and_errors_are(listener: ModuleType) -> None:
    from locust.stats import RequestStats

    stats = RequestStats()
    for outcome in ("202", "404", "429", "503", NO_ANSWER, UNSENT):
        listener.fold(stats, window(outcome), "")
    found = {name.split()[1]: (one.num_requests, one.num_failures) for (name, _), one in stats.entries.items()}
    assert found == {"202": (1, 0), "404": (1, 0), "429": (1, 0), "503": (1, 1), NO_ANSWER: (1, 1), UNSENT: (0, 1)}


@pytest.mark.parametrize(
    ("known", "exceptions", "unhandled", "code"),
    [(None, {}, False, 0), (None, {"x": 1}, False, 2), (None, {}, True, 2), (130, {"x": 1}, True, 130)],
)
def test_exit_code_shows_errors_of_users_and_greenlets(
    listener: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    known: int | None,
    exceptions: dict[str, int],
    unhandled: bool,
    code: int,
) -> None:
    from locust import log

    monkeypatch.setattr(log, "unhandled_greenlet_exception", unhandled)
    environment = SimpleNamespace(process_exit_code=known, runner=SimpleNamespace(exceptions=exceptions))
    listener._set_exit_code(environment)
    assert environment.process_exit_code == code
