"""What differs between two runs: on a terminal, as a page, by command."""

import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.loadlogs import Storm, long, steady, write
from tests.report.test_html import MAX_PAGE_BYTES, Page
from touchstone.cli.reports import app
from touchstone.errors import UsageError
from touchstone.facts.runlog import read
from touchstone.loadgen.workloads import AT_ONCE
from touchstone.report import compare_report
from touchstone.report.compare_report import describe_apart, describe_statistic, describe_value
from touchstone.report.comparison import NOISE, Change, Comparison, compare
from touchstone.report.resampling import Interval
from touchstone.report.view import view


def loads() -> Comparison:
    """Two load runs, the second slower, shorter and at another rate."""
    before, after = steady(seed=1, stall_s=0), steady(seed=2, stall_s=0, slower=1.3, per_s=40)
    return compare(before, after)


def checks(passing_run: Path, failing_run: Path) -> Comparison:
    """Two check runs, the second with three broken claims."""
    return compare(read(passing_run), read(failing_run))


def told(both: Comparison, width: int) -> str:
    """The comparison on a terminal of this width."""
    stream = StringIO()
    compare_report.write(both, Console(file=stream, width=width), Path("compare.html"))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_keep_to_the_width(passing_run: Path, failing_run: Path, width: int) -> None:
    """Only the path and the last line may be longer than the terminal."""
    for both in (loads(), compare(Storm().run(), Storm(capacity=6).run()), checks(passing_run, failing_run)):
        long_lines = [line for line in told(both, width).splitlines() if cell_len(line) > width]
        assert [line for line in long_lines if not line.startswith(("report: ", "exit "))] == []


def test_terminal_tells_each_statistic() -> None:
    """Both values, the difference with its interval, the verdict; what is not alike; and how noise is told."""
    both = loads()
    report = told(both, 80)
    words = " ".join(report.split())

    assert re.search(r"getBuild +2,\d{3} +2,\d{3}", report)
    assert re.search(r"  p50 +4\.\d+ ms +5\.\d+ ms +\+\d\d % \(\+\d\d to \+\d\d\) +slower", report)
    assert "arrivals: A constant:50, B constant:40" in words
    assert "1,000 seeded rounds over blocks of 4 s" in words
    assert report.splitlines()[-1] == f"exit 0: {both.reason}"


def test_terminal_tells_claims_and_findings(passing_run: Path, failing_run: Path) -> None:
    """Each claim with another verdict, each new finding and each that is gone."""
    words = " ".join(told(checks(passing_run, failing_run), 120).split())

    assert "cancel.in-flight-is-202: upheld → broken" in words
    assert "New findings, in B only (3)" in words
    assert "cancel.in-flight-is-202: cancelBuild, expected 202; actual 200" in words
    assert "Gone findings" not in words


def test_equal_runs_are_told_in_a_line(passing_run: Path) -> None:
    """Two runs that say the same have nothing to tell."""
    both = compare(read(passing_run), read(passing_run))

    assert "Claims: the same verdicts and the same findings." in told(both, 80)
    assert "No difference" in Page(compare_report.render(both)).text


def test_page_is_well_formed_and_small(passing_run: Path, failing_run: Path) -> None:
    """Every element is closed, links lead somewhere, nothing is loaded, and 300 KB are enough."""
    pairs = (
        loads(),
        compare(long(duration_s=150), long(duration_s=150)),
        compare(Storm().run(), steady()),
        checks(passing_run, failing_run),
    )
    for both in pairs:
        source = compare_report.render(both)
        page = Page(source)

        assert page.open == []
        assert {href[1:] for href in page.values("href")} <= set(page.values("id"))
        assert page.values("src") == []
        assert "url(" not in source
        assert len(source.encode()) < MAX_PAGE_BYTES


def test_page_lays_curves_over_each_other() -> None:
    """Each operation has a chart with a line for either run, and the table has what the terminal has."""
    source = compare_report.render(loads())
    words = " ".join(Page(source).text.split())

    assert source.count('<figure class="chart">') == 5
    assert source.count('class="run-a"') >= 5
    assert source.count('class="run-b"') >= 5
    assert "The two had not the same to do" in words
    assert words.count("slower") >= 3


def test_page_tells_turned_claims(passing_run: Path, failing_run: Path) -> None:
    """A claim with another verdict has both of them, and the sentence that it stands for."""
    words = " ".join(Page(compare_report.render(checks(passing_run, failing_run))).text.split())

    assert "The two runs differ" in words
    assert "✓ upheld → ✕ broken" in words
    assert "Cancelling a build in flight is answered with 202 and cancelling." in words


def test_target_cannot_write_markup(hostile_run: Path, passing_run: Path) -> None:
    """Whatever a target said, the page has one script, ours, and no handler, and the terminal no command."""
    both = compare(read(passing_run), read(hostile_run))
    page = Page(compare_report.render(both))

    assert page.tags["script"] == 1
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", told(both, 80)) == []


def test_numbers_have_their_units() -> None:
    """Times are told as times, shares in per cent and points, rates as they are."""
    both = loads()
    (getting,) = [one for one in both.operations if one.name == "getBuild"]
    words = {change.statistic: change for change in (*getting.times, *getting.counted)}

    assert [describe_statistic(change) for change in getting.times] == ["p50", "p90", "p95", "p99", "p99.9"]
    assert describe_value(words["p50_s"], 0.00434) == "4.34 ms"
    assert describe_value(words["error_share"], 0.0125) == "1.25 %"
    assert describe_value(words["throughput_per_s"], 48.4833) == "48.48"
    assert describe_apart(words["p50_s"]).startswith("+")
    assert " points (" in describe_apart(words["refused_share"])
    assert describe_apart(words["p999_s"]) == "2,114 of 10,000 samples"


def test_what_cannot_be_told_says_what_it_lacks() -> None:
    """Two runs of a few seconds: no line says that there is no difference, each says what would be needed."""
    both = compare(steady(duration_s=4, seed=1), steady(duration_s=4, seed=2))
    report = told(both, 100)

    assert re.search(r"p50 .* 4 of 5 blocks +too few to tell", report)
    assert re.search(r"p99 .* of 1,000 samples +too few to tell", report)
    assert "no difference  " not in report
    assert "0 statistics beyond noise, " in both.reason
    assert f"{both.open} statistics that cannot be told" in both.reason
    assert both.is_open
    assert "Too little to tell" in Page(compare_report.render(both)).text


def test_rates_say_what_they_are_over() -> None:
    """Whole seconds of the schedule; on the terminal and on the page, each run its own where they differ."""
    same, other = (compare(steady(), steady(duration_s=seconds)) for seconds in (60.0, 30.4))
    for both, over in ((same, "60 s"), (other, "60 s and 31 s")):
        words = f"Served a second is over {over}, the whole seconds of the schedule"
        assert words in " ".join(told(both, 80).split())
        assert words in " ".join(compare_report.render(both).split())
    storm = Storm().run()
    assert storm.workload is not None
    storm = replace(storm, workload=replace(storm.workload, arrivals=AT_ONCE))
    seconds = {window.at_s for window in storm.windows}
    over = f"{max(seconds) - min(seconds) + 1} s"
    assert f"Served a second is over {over}, the" in " ".join(told(compare(storm, storm), 80).split())


def test_large_and_small_numbers_are_told_without_an_exponent() -> None:
    """Thousands are apart, and a bound just below 100 % is one of 100 %."""
    rate = Change("throughput_per_s", 28_181.3, 28_209.6, Interval(0.001, -0.0000004, 0.9971), NOISE)

    assert [describe_value(rate, value) for value in (rate.before, rate.after)] == ["28,181", "28,210"]
    assert describe_apart(rate) == "+0.1 % (-0.00004 to +100)"


Run = Callable[..., Result]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["compare", *map(str, words)])


def test_command_writes_a_page_and_ends_with_0(command: Run, tmp_path: Path) -> None:
    """Whatever the difference is, the exit code is 0; a folder stands for the run log in it."""
    (tmp_path / "b").mkdir()
    a, b = write(steady(seed=1), tmp_path / "a.jsonl"), write(steady(seed=2, slower=2), tmp_path / "b" / "runlog.jsonl")
    ended = command(a, b.parent, "--report-dir", tmp_path / "out")

    assert ended.exit_code == 0
    assert "slower" in ended.output
    assert (tmp_path / "out" / "compare.html").read_text("utf-8").startswith("<!doctype html>")


def test_command_has_a_folder_of_its_own(command: Run, tmp_path: Path, passing_run: Path, failing_run: Path) -> None:
    """Without --report-dir the page goes below reports/, named after both runs."""
    ended = command(passing_run, failing_run)

    assert ended.exit_code == 0
    assert [path.as_posix() for path in Path("reports").rglob("*.html")] == [
        "reports/compare-20260102-030405-ab12-20260102-030405-ab12/compare.html"
    ]


@pytest.mark.parametrize("run_id", ["/../../up", "../up", "a/b", "..", "", "x" * 300, "a\0b", "-x"])
def test_run_id_leads_nowhere(command: Run, tmp_path: Path, run_id: str) -> None:
    """An id of a run log is refused where it would name a folder, and is none of our concern where it would not."""
    log = steady(duration_s=2)
    a = write(log, tmp_path / "a.jsonl")
    b = write(replace(log, header=replace(log.header, run_id=run_id)), tmp_path / "b.jsonl")
    for first, second in ((a, b), (b, a)):
        ended = command(first, second)
        assert isinstance(ended.exception, UsageError)
        assert "b.jsonl: run_id" in str(ended.exception)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.jsonl", "b.jsonl"]
    assert command(a, b, "--report-dir", "out").exit_code == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), r"^\S*b.jsonl: no such file; expected a runlog.jsonl"),
        (lambda path: path.write_text("{}\n"), r"^\S*b.jsonl: line 1: expected the header of a run log"),
        (lambda path: path.write_text(""), r"^\S*b.jsonl: the run log is empty"),
    ],
)
def test_bad_input_is_bad_usage(command: Run, tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    """A file that is not there, is empty or is no run log ends with exit code 2 and a message that names it."""
    a, b = (write(steady(duration_s=2), tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    spoil(b)
    ended = command(a, b)

    assert isinstance(ended.exception, UsageError)
    assert ended.exception.exit_code == 2
    assert re.search(message, str(ended.exception))


def test_mixed_kinds_are_bad_usage(command: Run, tmp_path: Path, passing_run: Path) -> None:
    """A load run and a check run are not compared."""
    ended = command(write(steady(duration_s=2), tmp_path / "a.jsonl"), passing_run)

    assert isinstance(ended.exception, UsageError)
    assert "expected two runs of one kind" in str(ended.exception)


def test_written_log_tells_the_same(tmp_path: Path) -> None:
    """A load run that was written and read again has the same view."""
    log = Storm().run()
    again = read(write(log, tmp_path / "runlog.jsonl"))

    assert replace(view(log), load=None, header=again.header) == replace(view(again), load=None)
    first, second = view(log).load, view(again).load
    assert first is not None
    assert second is not None
    assert (first.capacity, first.kept.sent, first.numbers.total.kinds) == (
        second.capacity, second.kept.sent, second.numbers.total.kinds,
    )  # fmt: skip
