"""The load of a run on a terminal, and for programs."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import StringIO
from typing import Any, Literal

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests.loadlogs import (
    BEGAN_AT,
    LIMITS,
    FixedWindow,
    Storm,
    behind,
    fold,
    four_workers,
    header,
    log_of,
    steady,
    unsent,
    worker,
    workload,
)
from tests.rules.exchanges import exchange
from tests.test_room import FULL_HOST, story
from touchstone.facts.events import Limit, RunLog
from touchstone.facts.sample import CUT_OFF, NO_ANSWER, Sample
from touchstone.loadgen.metrics import metrics
from touchstone.loadgen.thresholds import Reading
from touchstone.report import html, json_report, text
from touchstone.report.load_view import limit_lines
from touchstone.report.view import View, view


def limited(log: RunLog) -> RunLog:
    """The same run with thresholds."""
    assert log.workload is not None
    return replace(log, workload=replace(log.workload, limits=LIMITS))


def told(log: RunLog, width: int) -> str:
    """The report of a run on a terminal of this width."""
    return drawn(view(log), width)


def drawn(seen: View, width: int) -> str:
    """The same of what is to be seen of a run."""
    stream = StringIO()
    text.write(seen, Console(file=stream, width=width))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


RUNS: dict[str, Callable[[], RunLog]] = {
    "storm": lambda: replace(
        limited(Storm(rate=lambda: FixedWindow(8, 4.0), retry_s=0.3).run()), exchanges=story(FULL_HOST)
    ),
    "steady": lambda: limited(steady()),
    "behind": lambda: limited(behind()),
    "workers": lambda: limited(four_workers()),
}


@cache
def whole(name: str) -> View:
    """What is to be seen of one of these runs: it takes long to find out, and many tests draw it."""
    return view(RUNS[name]())


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", ["storm", "steady"])
def test_report_is_as_agreed(name: str, width: int, golden: Callable[[str, str], None]) -> None:
    """Requests, thresholds, capacity and generator come first, then the claims, then one line with the exit code."""
    golden(f"load-{name}-{width}.txt", drawn(whole(name), width))


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", RUNS)
def test_lines_keep_to_the_width(name: str, width: int) -> None:
    """Only the last line, which must survive copying, may be longer than the terminal."""
    long = [line for line in drawn(whole(name), width).splitlines() if cell_len(line) > width]

    assert [line for line in long if not line.startswith("exit ")] == []


def test_run_without_a_verdict_still_tells_its_load() -> None:
    """A run whose generator was too slow ends with exit 3, and its numbers are there all the same."""
    log = limited(behind())
    assert log.footer is not None
    report = told(replace(log, footer=replace(log.footer, exit_code=3, reason="too slow")), 80)

    assert "The generator did not keep up" in report
    assert report.splitlines()[-1] == "exit 3: too slow"


@pytest.mark.parametrize("render", ["text", "page"])
def test_budget_that_was_used_up_is_no_fault_of_the_generator(render: str) -> None:
    """Where --max-requests ended the sending, the report says so and from when on; what could not be sent is apart."""
    spent = worker(sent=3000, unsent=199, assigned=3199, over_budget=199, spent_at_s=BEGAN_AT + 20.04)
    log = replace(limited(steady(windows=(*steady().windows, unsent(25, "getBuild", 199)))), workers=(spent,))
    assert log.workload is not None
    planned = replace(log.workload, options={"max_requests": 3000}, scheduled={"getBuild": 3199})
    log = replace(log, workload=planned)
    partly = replace(log, workers=(replace(spent, over_budget=190),))

    words = "the 3,000 requests that it allows were used up by second 20.0, and 199 arrivals came due later."
    assert "The generator kept up until --max-requests ended it: 3,199 arrivals were scheduled" in flat(log, render)
    assert words in flat(log, render)
    assert "could not be sent" not in flat(log, render)
    assert "The generator did not keep up, and --max-requests ended it" in flat(partly, render)
    assert "190 arrivals came due later; 9 arrivals came due and could not be sent." in flat(partly, render)


def test_run_that_sent_nothing_has_no_table() -> None:
    """A load run that ended before its first request is told in a line."""
    log = log_of(workload())
    assert log.footer is not None
    stopped = replace(log, footer=replace(log.footer, exit_code=3, reason="nobody answers"))

    assert told(stopped, 80) == "exit 3: nobody answers\n"


@pytest.mark.parametrize("render", ["text", "page"])
def test_starts_that_asked_the_limit_afterwards_are_told_apart(render: str) -> None:
    """They are in the table and not among those that the capacity is told from; the report says how many there were."""
    note = {"limit": {"round": 1, "phase": "burst"}}
    asked = tuple(exchange("startBuild", status, seq=n, note=note) for n, status in enumerate((202, 202, 429)))
    log = replace(RUNS["storm"](), exchanges=asked)
    sentence = "asked the limit with 3 starts of a version that was ready, 1 of them refused"

    assert sentence in flat(log, render)
    assert sentence.partition(" with")[0] not in flattened(whole("storm"), render)
    assert document(log)["asked"] == {"starts": 3, "refused": 1, "failed": 0}


@pytest.mark.parametrize("render", ["text", "page"])
def test_starts_that_failed_are_no_refusals_and_no_silence(render: str) -> None:
    """A limit that answers 503 is told beside the capacity, of the clients and of the one that asks at the end."""
    log = RUNS["storm"]()
    failing = tuple(replace(a, status=503) if a.status == 429 else a for a in log.attempts)
    note = {"limit": {"round": 1, "phase": "burst"}}
    asked = tuple(exchange("startBuild", status, seq=n, note=note) for n, status in enumerate((202, 503, 0)))
    told_so = flat(replace(log, attempts=failing, exchanges=asked), render)

    assert (
        "1,108 starts were answered neither with success nor with 429 (1,108 with 503): "
        "nobody knows whether a limit refused them."
    ) in told_so
    assert "3 starts of a version that was ready, 0 of them refused and 2 failed" in told_so
    assert "neither with success" not in flattened(whole("storm"), render)


@pytest.mark.parametrize("render", ["text", "page"])
def test_rows_of_several_outcomes_say_which_requests_their_times_are_of(render: str) -> None:
    """Where they are of fewer than are counted, how many that is stands beside the table, and what all leaves out."""
    log = RUNS["steady"]()
    sentence = (
        "Times are of answers that the contract foresees: 124 of 158 startBuild, 2,868 of 3,000 in the row of all, "
        "which leaves out streamBuildEvents, as a log is followed for as long as its build lasts."
    )
    reads = replace(log, windows=tuple(window for window in log.windows if window.operation == "getBuild"))

    assert sentence in flat(log, render)
    assert "Times are of" not in flat(reads, render)


def test_document_says_which_requests_times_are_of() -> None:
    """Beside each count stands of how many its times are, those that were never answered among them."""
    log = RUNS["steady"]()
    load, starts = document(log), document(log)["operations"]["startBuild"]
    died = tuple(
        replace(window, outcome=NO_ANSWER) if (window.operation, window.outcome) == ("startBuild", "429") else window
        for window in log.windows
    )
    mute = document(replace(log, windows=died))["operations"]["startBuild"]

    assert (starts["count"], starts["timed"], starts["response"]["count"]) == (158, 124, 124)
    assert starts["outcomes"]["429"]["timed"] == starts["outcomes"]["429"]["count"] == 34
    assert (mute["timed"], mute["response"]["count"], mute["response"]["no_answer"]) == (158, 124, 34)
    assert (load["total"]["timed"], load["total"]["not_in_times"]) == (2868, ["streamBuildEvents"])


@pytest.mark.parametrize("render", ["text", "page"])
def test_target_that_died_is_told_first(render: str) -> None:
    """From when on nobody was answered, how many got no answer, and that these count as if it took for ever."""
    log = RUNS["steady"]()
    reads = [window for window in log.windows if window.operation == "getBuild"]
    dead = tuple(replace(w, at_s=w.at_s + 60, outcome=NO_ANSWER) for w in reads if w.at_s < BEGAN_AT + 10)
    died = replace(log, windows=(*log.windows, *dead))
    count = sum(window.count for window in dead)
    told_so = flat(died, render)

    assert (
        f"From second 60 on the target answered nobody in full any more: {count} requests that were due from then on "
        "got no complete answer."
    ) in told_so
    assert f"“never”: {count} requests got no answer, {'followed logs apart' if render == 'text' else 'and'}" in told_so
    assert "never" not in flat(log, render)
    assert document(died)["silent"] == {
        "from_s": BEGAN_AT + 60, "unanswered": count, "cut_off": 0, "unanswered_in_all": count,
    }  # fmt: skip
    assert document(died)["operations"]["getBuild"]["response"]["p99_s"] is None
    assert document(died)["operations"]["getBuild"]["response"]["no_answer"] == count


@pytest.mark.parametrize("render", ["text", "page"])
def test_target_that_was_silent_for_a_while_is_told(render: str) -> None:
    """From when to when nobody was answered, though all requests were in the end; a target that only stalls is not."""
    log = steady(stall_every_s=0.0, stall_s=0.0)
    reads = [w for w in log.windows if (w.operation, w.outcome) == ("getBuild", "200")]
    hung = [fold(asked(number, 40.5 - number))[0] for number in range(20, 40)]
    told_of = [w for w in reads if not 20 <= w.at_s - BEGAN_AT < 40]
    paused = replace(log, windows=(*told_of, *hung))
    sentence = "The target answered nobody from second 21 to second 40, and then again: 40 requests waited until then"

    assert sentence in flat(paused, render)
    assert "answered nobody" not in flat(log, render)
    assert document(log)["pauses"] == []
    (pause,) = document(paused)["pauses"]
    assert (round(pause["from_s"] - BEGAN_AT), round(pause["to_s"] - BEGAN_AT), pause["waiting"]) == (21, 40, 40)


def asked(at: int, took_s: float) -> tuple[Sample, ...]:
    """Two reads that were due in this second of the schedule and took so long."""
    due_at = BEGAN_AT + at
    return (Sample("getBuild", "200", due_at, due_at, due_at + took_s),) * 2


@pytest.mark.parametrize("render", ["text", "page"])
def test_requests_that_were_cut_off_are_told(render: str) -> None:
    """How many had no answer when the run was stopped, how long they had waited; they are no errors."""
    log = RUNS["steady"]()
    at = BEGAN_AT + 60
    cut = fold(Sample("getBuild", CUT_OFF, at + n / 10, at + n / 10, at + 0.9) for n in range(4))
    told_so = flat(replace(log, windows=(*log.windows, *cut)), render)
    numbers = document(replace(log, windows=(*log.windows, *cut)))

    assert (
        "4 requests had no complete answer yet when the run was stopped, and were cut off; the longest wait" in told_so
    )
    assert "were cut off" not in flat(log, render)
    assert numbers["silent"] is None
    assert numbers["total"]["kinds"]["cut"] == 4
    assert numbers["total"]["error_share"] == 0
    assert numbers["operations"]["getBuild"]["outcomes"][CUT_OFF]["count"] == 4


def flat(log: RunLog, render: str) -> str:
    """The report without its line ends."""
    return flattened(view(log), render)


def flattened(seen: View, render: str) -> str:
    """The same of what is to be seen of a run."""
    return " ".join((drawn(seen, 80) if render == "text" else html.render(seen)).split())


@pytest.mark.parametrize("render", ["text", "page"])
@pytest.mark.parametrize("model", ["open", "closed"])
def test_one_of_anything_is_no_plural(render: str, model: str) -> None:
    """A run of one request, one arrival that was never sent and one claim tells them in the singular."""
    at = BEGAN_AT + 0.2
    windows = (*fold([Sample("getBuild", NO_ANSWER, at, at, at + 0.1)]), unsent(5, "getBuild", 1))
    windows += fold([Sample("startBuild", "202", at, at, at + 0.1)])
    planned = workload(model=model, scheduled={"getBuild": 1} if model == "open" else {}, limits=LIMITS)
    head = header(claims=header().claims[:1], argv=("load", "steady"))
    note = {"limit": {"round": 1, "phase": "burst"}}
    asked = (exchange("startBuild", 202, seq=1, note=note),)
    log = log_of(planned, header=head, windows=windows, workers=(worker(sent=1, assigned=1),), exchanges=asked)

    odd = r"\b1 (\w+ ){0,1}(arrivals|requests|samples|starts|answers|exchanges|claims|findings|times|seconds)\b"
    assert re.findall(odd, flat(log, render)) == []
    assert not re.search(r"\b1 (arrival|request|start) were\b", flat(log, render))


def test_closed_model_says_so() -> None:
    """The table of a closed model has service times, and says so; what follows an arrival is in the table alone."""
    log = steady()
    assert log.workload is not None
    polls = fold([Sample("getBuild", "200", BEGAN_AT, BEGAN_AT, BEGAN_AT + 0.01)] * 70, paced=False)
    log = replace(log, windows=(*log.windows, *polls))
    report = told(replace(log, workload=replace(log.workload, model="closed", scheduled={})), 80)

    assert "closed model: service times only" in " ".join(report.split())
    assert "3,000 arrivals were sent, each when its client was done with the one before." in " ".join(report.split())
    assert "3,070 requests" in report


def test_log_cannot_command_the_terminal(hostile_text: str) -> None:
    """No control character of a foreign run log reaches the terminal."""
    log = RUNS["workers"]()
    windows = tuple(replace(window, operation=hostile_text, outcome=hostile_text) for window in log.windows)
    report = told(replace(log, windows=windows), 80)

    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ud800]", report) == []


def document(log: RunLog) -> dict[str, Any]:
    """The load as report.json has it."""
    report = json.loads(json_report.render(view(log)))
    assert report["schema_version"] == 1
    return dict(report["load"])


def test_document_has_every_number() -> None:
    """Operations, outcomes and totals have counts and percentiles in seconds, under the names of the thresholds."""
    log = RUNS["steady"]()
    load, numbers = document(log), metrics(log)
    getting = load["operations"]["getBuild"]

    assert set(load) == {
        "workload", "measured_s", "total", "operations", "thresholds", "capacity", "asked", "silent",
        "pauses", "generator",
    }  # fmt: skip
    assert list(load["operations"]) == [one.name for one in numbers.operations]
    assert load["total"]["count"] == 3000
    assert set(getting["response"]) == {
        "count", "no_answer", "min_s", "mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "p999_s", "max_s", "unsure",
    }  # fmt: skip
    whole = numbers.operations[1].whole
    assert whole.response is not None
    assert getting["response"]["p99_s"] == whole.response.at(0.99).value_s
    assert getting["response"]["unsure"] == ["p999_s"]
    assert getting["outcomes"]["404"]["count"] == getting["kinds"]["declined"] == 57
    assert load["workload"]["arrivals"] == "constant:50"
    assert load["capacity"] is None


def test_document_has_the_thresholds() -> None:
    """Each threshold has limit, measured value, margin, verdict and its reason."""
    thresholds = document(RUNS["behind"]())["thresholds"]

    assert thresholds[0] | {"reason": "", "samples": 0} == {
        "operation": "getBuild", "statistic": "p99_s", "limit": 0.05, "bound": "at most", "measured": None,
        "margin_share": None, "samples": 0, "verdict": "indeterminate", "reason": "",
    }  # fmt: skip
    assert "late at p99" in thresholds[0]["reason"]
    assert [one["verdict"] for one in thresholds] == ["indeterminate", "kept", "kept", "not-applicable"]
    assert thresholds[2]["margin_share"] == pytest.approx(95.025 / 40 - 1)


@pytest.mark.parametrize(
    ("statistic", "limit", "value", "words"),
    [
        ("p99_s", 0.5, 0.41, "18 % left"),
        ("p99_s", 0.5, 0.0001, "over 99.9 % left"),
        ("p99_s", 0.5, 0.55, "1.1 times the limit"),
        ("p99_s", 0.5, 0.50005, "1.0001 times the limit"),
        ("p99_s", 0.5, 2500.0, "5,000 times the limit"),
        ("p99_s", 0.5, 0.5, "just met"),
        ("p99_s", 0.5, None, "–"),
        ("error_share", 0.001, 0.0, "100 % left"),
        ("error_share", 0.0, 0.1, "–"),
        ("latency_drift_share", 0.1, -0.4, "100 % left"),
        ("throughput_per_s", 40.0, 48.48, "1.21 times the least"),
        ("throughput_per_s", 40.0, 400.0, "10 times the least"),
        ("throughput_per_s", 40.0, 20.0, "0.5 times the least"),
    ],
)
def test_margin_is_told_in_words(statistic: str, limit: float, value: float | None, words: str) -> None:
    """What is left of what is allowed at most, or how far a rate is above the least."""
    (line,) = limit_lines([Reading(Limit("*", statistic, limit), value, 100, "kept")])
    assert line.margin == words


def test_document_has_capacity_and_generator() -> None:
    """What the capacity is and how it is known, and how each worker fared."""
    storm, workers = document(RUNS["storm"]()), document(RUNS["workers"]())["generator"]

    assert (storm["capacity"]["finding"], storm["capacity"]["at_least"], storm["capacity"]["at_most"]) == ("both", 4, 4)
    assert storm["capacity"]["busiest"] == {"1_s": 4, "10_s": 24, "60_s": 32}
    assert storm["capacity"]["clients"]["wanted"] == 40
    assert (workers["kept_up"], workers["unknown"], workers["unsent"]) == (False, 240, 0)
    assert [one["state"] for one in workers["workers"]] == ["done", "done", "lost", "done"]


@pytest.mark.parametrize(
    ("lost", "late", "words"),
    [
        ((), False, "The generator kept up: 2,400 arrivals"),
        ((), True, "The generator did not keep up: 2,400 arrivals"),
        (
            (1,),
            False,
            "Worker 1 was lost with what was not reported yet. What is known was sent in time: 2,400 arrivals",
        ),
        ((1, 2), True, "Workers 1, 2 were lost with what was not reported yet. The generator did not keep up: 2,400"),
    ],
)
def test_lost_worker_is_not_taken_for_a_late_one(lost: tuple[int, ...], late: bool, words: str) -> None:
    """Of a worker that is lost nobody knows whether it was late; others that were late are blamed all the same."""
    log = four_workers(lost=None)
    workers = [replace(one, state="lost") if one.number in lost else one for one in log.workers]
    workers[0] = replace(workers[0], behind_from_s=BEGAN_AT + 3.0) if late else workers[0]

    assert flat(replace(log, workers=tuple(workers)), "text").count(words) == 1


def cut(last: Literal["running", "done"]) -> RunLog:
    """Four workers of whose 2,400 arrivals nobody knows about 600, though none of them was lost."""
    log = four_workers(lost=None)
    known = tuple(window for window in log.windows if window.worker != 1)
    return replace(log, windows=known, workers=tuple(replace(one, state=last) for one in log.workers))


@pytest.mark.parametrize("last", ["running", "done"])
def test_generator_that_nobody_knows_all_of_is_not_said_to_have_kept_up(last: Literal["running", "done"]) -> None:
    """Where all of Locust was killed, or the run was stopped, what is known was in time; the page counts the rest."""
    log = cut(last)

    assert "What is known was sent in time: 2,400 arrivals were scheduled and 1,800 sent" in flat(log, "text")
    assert "kept up" not in flat(log, "text")
    assert document(log)["generator"]["kept_up"] == (last == "done")
    page = html.render(view(log))
    assert "<dt>Scheduled, sent, not sent, unknown</dt><dd>2,400, 1,800, 0, 600</dd>" in page
    assert "<dt>Scheduled, sent, not sent</dt><dd>2,400, 2,400, 0</dd>" in html.render(view(four_workers(lost=None)))


@pytest.mark.parametrize("form", ["terminal", "document", "page"])
def test_clients_that_were_still_trying_are_told(form: str) -> None:
    """Terminal, document and page name those that were neither let in nor gave up when the run was stopped."""
    whole = RUNS["storm"]()
    log = replace(whole, attempts=tuple(a for a in whole.attempts if a.sent_at < BEGAN_AT + 3.5))
    clients = document(log)["capacity"]["clients"]
    waiting = clients["wanted"] - clients["at_once"] - clients["later"] - clients["gave_up"]
    told_in = {
        "terminal": lambda: " ".join(told(log, 80).split()),
        "document": lambda: clients["says"],
        "page": lambda: html.render(view(log)),
    }

    assert (clients["still_trying"], clients["turned_away"], clients["failed"]) == (waiting, 0, 0)
    assert waiting > 1
    assert f"{waiting} were still trying when the run ended" in told_in[form]()


def test_check_has_no_load() -> None:
    """report.json of a run without a load is as it was."""
    log = replace(steady(), workload=None)

    assert "load" not in json.loads(json_report.render(view(log)))
