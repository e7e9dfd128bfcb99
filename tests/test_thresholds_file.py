"""The file of thresholds: what it holds, and what it refuses."""

from pathlib import Path

import pytest

from touchstone.errors import UsageError
from touchstone.facts.events import Limit
from touchstone.loadgen.thresholds import STATISTICS, bundled_thresholds, read_thresholds, thresholds_of
from touchstone.loadgen.workloads import SCENARIOS


def written(tmp_path: Path, text: str) -> Path:
    """A file with this text."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="latin-1")
    return path


def test_limits_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A table for each operation, "*" for all of them; a scenario that is not named has no limit."""
    reads = "[steady.getBuild]\np99_s = 1\nthroughput_per_s = 2.5\n"
    path = written(tmp_path, '[steady."*"]\nerror_share = 0\nlate_share = 0.5\n' + reads)
    found = read_thresholds(path)
    assert found["steady"] == (
        *(Limit("*", "error_share", 0.0), Limit("*", "late_share", 0.5)),
        *(Limit("getBuild", "p99_s", 1.0), Limit("getBuild", "throughput_per_s", 2.5)),
    )
    assert {scenario for scenario, limits in found.items() if not limits} == set(SCENARIOS) - {"steady"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[stedy.getBuild]\np99_s = 1", "[stedy]: unknown scenario; did you mean steady?"),
        ("[steady.getBild]\np99_s = 1", "[steady.getBild]: unknown operation; did you mean getBuild?"),
        ('[steady."get Build"]\np99_s = 1', '[steady."get Build"]: unknown operation; did you mean getBuild?'),
        ("[steady.getBuild]\np99 = 1", "[steady.getBuild] p99: unknown statistic; did you mean p99_s?"),
        ("[steady.getBuild]\nzeal = 1", "[steady.getBuild] zeal: unknown statistic; known: bytes_drift_share, "),
        ("[steady.getBuild]\np99_s = '1'", "p99_s: found '1'; expected seconds above 0"),
        ("[steady.getBuild]\np99_s = true", "p99_s: found True; expected seconds above 0"),
        ("[steady.getBuild]\np99_s = 0", "p99_s: found 0; expected seconds above 0"),
        ("[steady.getBuild]\np99_s = -0.5", "p99_s: found -0.5; expected seconds above 0"),
        ("[steady.getBuild]\np99_s = inf", "p99_s: found inf; expected seconds above 0"),
        ("[steady.getBuild]\np99_s = nan", "p99_s: found nan; expected seconds above 0"),
        ("[steady.getBuild]\nerror_share = 1.5", "error_share: found 1.5; expected a share from 0 to 1"),
        ("[steady.getBuild]\nerror_share = -0.1", "error_share: found -0.1; expected a share from 0 to 1"),
        ("[soak.getBuild]\nlatency_drift_share = 2", "latency_drift_share: found 2; expected a share from 0 to 1"),
        ("[soak.getBuild]\nmemory_drift_share = 0.1", 'put it into the table of all operations, "*"'),
        ("[steady.getBuild]\nthroughput_per_s = 0", "found 0; expected requests a second above 0"),
        ("steady = 1", "[steady]: found 1; expected a table of operations"),
        ("[steady]\ngetBuild = 1", "[steady.getBuild]: found 1; expected a table of operations"),
        ("[steady", "not TOML: "),
        ("# \xff", "not TOML: 'utf-8' codec can't decode byte 0xff"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The place, what was found, and what was expected or is nearest."""
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        read_thresholds(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its path, with what to give instead."""
    with pytest.raises(UsageError, match=r"gone\.toml: cannot be read: No such file.*; give a file like"):
        read_thresholds(tmp_path / "gone.toml")


def test_bundled_file_has_limits_for_every_scenario() -> None:
    """Each scenario has a limit on errors, and one on a time; a limit on growth is for the long run alone."""
    for scenario, limits in read_thresholds(bundled_thresholds()).items():
        sorts = {STATISTICS[limit.statistic].sort for limit in limits}
        assert "error_share" in {limit.statistic for limit in limits}, scenario
        assert "time" in sorts, scenario
        assert ("drift" in sorts) == SCENARIOS[scenario].drift, scenario
        assert len({(limit.operation, limit.statistic) for limit in limits}) == len(limits), scenario


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("", "no limit at all"),
        ("[storm]\n[steady.getBuild]", "no limit at all"),
        ("[steady.getBuild]\np99_s = 1\n[storm.getBuild]\n", "limits only for steady"),
        ("[soak.getBuild]\np99_s = 1\n[steady.getBuild]\np99_s = 1", "limits only for steady, soak"),
    ],
)
def test_file_without_a_limit_for_its_scenario_is_refused(tmp_path: Path, text: str, held: str) -> None:
    """A run that was to be judged by a file of its user's own is not judged by nothing."""
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        thresholds_of(path, "storm")
    assert str(raised.value) == (
        f'{path}: no limit for storm; found {held}; expected a table such as [storm."*"] with a limit in it; add one, '
        "or leave --thresholds out for those of load/thresholds.toml"
    )


def test_file_with_a_limit_for_its_scenario_is_taken(tmp_path: Path) -> None:
    """One limit is enough, whatever else the file is about."""
    path = written(tmp_path, "[steady.getBuild]\np99_s = 1\n[storm.getBuild]\np99_s = 2\n")
    assert thresholds_of(path, "storm") == (Limit("getBuild", "p99_s", 2.0),)
