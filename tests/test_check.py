"""
`touchstone check` from end to end: correct servers pass however they behave, and what cannot be judged is told apart.
"""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import KEYS, PRIMARY, Command, Ended, Shell, called
from tests.distorted import distorted
from tests.watched import Watched
from touchstone.contract import claims as ledger_of_claims
from touchstone.contract.document import Contract
from touchstone.facts.runlog import read
from touchstone.proof.faults.keys import SchemeIsCaseSensitive
from touchstone.rules import catalogue
from touchstone.rules.history import History
from touchstone.rules.judge import Judge
from touchstone.rules.verdict import VERDICTS
from touchstone.twin import Engine, RateLimit, Twin, TwinSettings
from touchstone.twin.catalog import Version

Check = Callable[..., Ended]
REPORTS = {"report.json", "report.html", "junit.xml"}

# Correct servers that differ from the usual one, and claims whose cases such a difference could upset.
BUILDS_COUNT, NO_LIMITS = "a limit on builds only", "no limits"
LIMITED = "8 starts in 4 s, room for two builds"
CORRECT: dict[str, tuple[dict[str, Any], str]] = {
    LIMITED: ({"rate": RateLimit(8, 4.0), "capacity": 2}, "*"),
    BUILDS_COUNT: ({"rate": RateLimit(6, 3.0), "charges": "builds"}, "limit.*"),
    NO_LIMITS: ({"build_s": 0.02}, "limit.*,start.answers-202"),
    "latency": ({"latency_s": 0.15}, "start.fresh-is-building,cancel.settled-is-idle"),
    "slow builds": ({"build_s": 3.0}, "status.failed-has-error,events.cancelled-ends-on-cancel"),
    "fast builds": (
        {"build_s": 0.01, "settle_s": 0.0},
        "start.*,reuse.*,cancel.*,events.ready-ends-on-ready,events.failed-ends-on-error",
    ),
    "a limit that names a date": (
        {"rate": RateLimit(6, 2.0, "token-bucket"), "retry_after": "date"},
        "limit.has-the-error-shape,limit.retry-after-*",
    ),
    "digests of the content": ({"digest_scope": "content"}, "digest.*,reuse.*"),
}
# `make thorough` has these; every push runs both.
PUSHED = (LIMITED, BUILDS_COUNT, NO_LIMITS)
OTHERS = [kind for kind in CORRECT if kind not in PUSHED]


@dataclass(frozen=True, slots=True)
class Checked:
    """How a check ended, and what it left on its target."""

    ended: Ended
    refs: list[str]
    running: int


def checked(folder: Path, settings: dict[str, Any], claims: str) -> Checked:
    """A quick check of a server that keeps its promises."""
    with Watched(**settings) as watched:
        arguments = ("--url", watched.url, "--profile", "quick", "--claims", claims, "--strict")
        ended = Shell(folder).run("check", "--max-builds", "150", *arguments)
        return Checked(ended, watched.refs(), watched.running())


@pytest.fixture(scope="module")
def checks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[Checked]"]]:
    """The checks of the correct servers that are asked for, three at a time: they wait more than they work."""
    asked = {item.callspec.params.get("kind") for item in request.session.items if hasattr(item, "callspec")}
    with pool(3) as checking:
        yield {
            kind: checking.submit(checked, tmp_path_factory.mktemp("correct"), settings, claims)
            for kind, (settings, claims) in CORRECT.items()
            if kind in PUSHED or kind in asked
        }


@contextmanager
def pool(size: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for checks; what has not begun at the end is not begun."""
    threads = ThreadPoolExecutor(size)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def limited(checks: dict[str, "Future[Checked]"]) -> Checked:
    """The check of every claim against a server with limits."""
    return checks[LIMITED].result()


@pytest.fixture(scope="module", autouse=True)
def begun(checks: dict[str, "Future[Checked]"]) -> None:
    """Begins with all of them, so that they run while the other tests do."""


@pytest.mark.parametrize(("flags", "code"), [((), 0), (("--strict",), 1)])
def test_broken_should_claim_counts_only_when_strict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    code: int,
) -> None:
    """A server that breaks nothing but a should claim passes, and fails with --strict; the report has it either way."""
    with Twin(TwinSettings(build_s=0.02), engine=SchemeIsCaseSensitive) as twin:
        claims = "auth.scheme-*,start.answers-202"
        arguments = ("check", "--url", twin.url, "--profile", "quick", "--claims", claims, *flags)
        ended = called(Shell(tmp_path), monkeypatch, capsys, *arguments)
    assert ended.code == code
    assert ended.verdicts() == {"auth.scheme-ignores-case": "broken", "start.answers-202": "upheld"}
    (finding,) = ended.report()["findings"]
    assert finding["level"] == "should"
    assert finding["expected"] in ended.out
    assert "bearer $ORGO_API_KEY" in finding["curl"]


def test_keys_are_named_as_the_settings_name_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The curl line, the page and the reason of what did not apply name the variables of the target."""
    with Twin(TwinSettings(build_s=0.02), engine=SchemeIsCaseSensitive) as twin:
        (tmp_path / "touchstone.toml").write_text(
            f'[targets.a]\nurl = "{twin.url}"\napi_key_env = "STAGING_KEY"\nsecond_api_key_env = "STAGNG_SECOND"\n'
        )
        claims = "auth.scheme-*,access.others-version-is-404"
        arguments = ("check", "--target", "a", "--profile", "quick", "--claims", claims)
        shell = Shell(tmp_path, {"STAGING_KEY": PRIMARY})
        ended = called(shell, monkeypatch, capsys, *arguments)
        again = called(shell, monkeypatch, capsys, "report", str(ended.results / "runlog.jsonl"))
    (finding,) = ended.report()["findings"]
    assert "bearer $STAGING_KEY" in finding["curl"]
    (idle,) = (row for row in ended.report()["claims"] if row["verdict"] == "not-applicable")
    assert idle["reason"] == "second_api_key_env names STAGNG_SECOND, which is not set"
    page = (ended.results / "report.html").read_text("utf-8")
    assert "from the environment: <code>STAGING_KEY</code>, and where the target has them" in page
    assert "ORGO_API_KEY" not in page + ended.out + again.out


class NamesAnother(Engine):
    """Answers each publish with the ref of a version that somebody else has published."""

    def published_body(self, version: Version) -> Any:
        return {**super().published_body(version), "ref": "default/somebody-else@1.0.0"}


def test_server_that_names_another_version_does_not_get_it_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a run deletes is what it meant to publish, not what a server says that it has published."""
    with Watched(engine=NamesAnother) as watched:
        other = watched.publish("somebody-else")
        arguments = ("check", "--url", watched.url, "--profile", "quick", "--claims", "publish.*")
        ended = called(Shell(tmp_path), monkeypatch, capsys, *arguments)
        assert watched.refs() == [other]
    assert ended.verdicts()["publish.ref-is-the-document"] == "broken"


def test_embedded_twin_needs_no_key(tmp_path: Path, call: Command) -> None:
    """Without a target and without any key the embedded twin is judged."""
    ended = call(Shell(tmp_path, keys={}), "check", "--claims", "start.answers-202", "--profile", "quick")
    assert (ended.code, ended.verdicts()) == (0, {"start.answers-202": "upheld"})
    assert ended.report()["run"]["kind"] == "embedded"


# --- what cannot be judged ---------------------------------------------------------------------------------------


class Other(http.server.BaseHTTPRequestHandler):
    """Some other server: what it answers is set on the class."""

    kind, body, status = "text/html", b"<h1>It works</h1>", 404

    def do_GET(self) -> None:  # the name that http.server calls
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(**answer: Any) -> Iterator[str]:
    """Serves one answer to whatever is asked; the URL."""
    handler = type("Answering", (Other,), answer)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs a check in this process, with the given keys."""

    def run(url: str, keys: Mapping[str, str] = KEYS) -> Ended:
        return called(Shell(tmp_path, keys), monkeypatch, capsys, "check", "--url", url, "--profile", "quick")

    return run


def not_judged(ended: Ended) -> Ended:
    """A check that ended with 3 and one line that says why, and left its reports."""
    assert ended.code == 3, ended.out
    assert "Traceback" not in ended.out + ended.err
    assert {path.name for path in ended.results.iterdir()} >= REPORTS
    assert set(ended.verdicts().values()) == {"could-not-run"}
    assert PRIMARY not in ended.out + ended.err
    return ended


def test_nothing_listening_is_told(check: Check) -> None:
    """A port without a listener gives 3 and says that nothing answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ended = not_judged(check(f"http://127.0.0.1:{port}/api"))
    assert ended.last_line.startswith(f"exit 3: http://127.0.0.1:{port}/api: no answer: ConnectError")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"status": 200},
        {"status": 200, "kind": "application/json", "body": b'{"items": [], "status": "ok"}'},
        {"status": 404, "kind": "application/json", "body": b'{"message": "no route"}'},
        {"status": 404, "kind": "application/json", "body": b'{"error": "no route"}'},
        {"status": 200, "kind": "application/json", "body": b'{"status": {"state": "ready"}}'},
        {"status": 500, "kind": "text/plain", "body": b"oops"},
        {"status": 302, "kind": "text/plain", "body": b""},
    ],
)
def test_another_server_is_told(check: Check, answer: dict[str, Any]) -> None:
    """A web page, another JSON API and a proxy that fails are no template build API: 3, and what was seen."""
    with listening(**answer) as url:
        ended = not_judged(check(url))
    assert f"exit 3: {url}: not a template build API" in ended.last_line


def test_wrong_base_path_is_told(check: Check) -> None:
    """The right server behind the wrong base path is another API, or refuses the key; either is no verdict."""
    with Watched() as watched:
        ended = not_judged(check(watched.url.removesuffix("/api") + "/v2"))
        assert watched.launched == []
    assert "check the URL and its base path" in ended.last_line


def test_refused_key_is_told(check: Check) -> None:
    """A key that the target does not know gives 3 and names the variable to set."""
    with Watched() as watched:
        ended = not_judged(check(watched.url, {"ORGO_API_KEY": "sk_live_of_nobody"}))
        assert (watched.refs(), watched.launched) == ([], [])
    assert "the key was refused with 401 'Invalid API key." in ended.last_line
    assert "ORGO_API_KEY" in ended.last_line


@pytest.mark.parametrize(
    ("table", "source"),
    [('api_key_env = "STAGING_KEY"', "STAGING_KEY"), ('api_key = "sk_live_of_nobody"', "api_key of [targets.a]")],
)
def test_refused_key_is_told_by_where_it_comes_from(tmp_path: Path, call: Command, table: str, source: str) -> None:
    """The variable of the target, or its table in the file, is what to correct."""
    with Watched() as watched:
        (tmp_path / "touchstone.toml").write_text(f'[targets.a]\nurl = "{watched.url}"\n{table}\n')
        ended = call(Shell(tmp_path, {"STAGING_KEY": "sk_live_of_nobody"}), "check", "--target", "a")
    assert ended.code == 3
    assert f"; set {source} to a valid key" in ended.last_line


def test_listener_that_never_answers_is_told(tmp_path: Path, call: Command) -> None:
    """A server that takes connections and says nothing is given up after the time that a request may take."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/api"
        (tmp_path / "touchstone.toml").write_text(
            f'[targets.mute]\nurl = "{url}"\napi_key = "{PRIMARY}"\nrequest_timeout_s = 0.3\n'
        )
        ended = call(Shell(tmp_path), "check", "--target", "mute")
    assert ended.code == 3
    assert f"{url}: no answer: ReadTimeout" in ended.last_line


def test_digest_that_nobody_shares_is_told_with_a_server_that_has_one(tmp_path: Path, call: Command) -> None:
    """What a target with another digest cannot show names how the twin is started that shows it."""
    claim = "reuse.same-digest-elsewhere"
    with Watched(digest_scope="document") as watched:
        ended = call(Shell(tmp_path), "check", "--url", watched.url, "--profile", "quick", "--claims", claim)
    assert ended.code == 3
    (told,) = ended.report()["claims"]
    assert "touchstone serve --digest-scope content" in told["reason"]
    assert "touchstone serve --digest-scope content" in ended.out


def test_reasons_are_told_where_nothing_applied(tmp_path: Path, call: Command) -> None:
    """A check that asked nothing, since keys were missing, says which, and not only that nothing was upheld."""
    with Watched() as watched:
        claims = "access.start-needs-scale,access.others-version-is-404"
        shell = Shell(tmp_path, {"ORGO_API_KEY": PRIMARY})
        ended = call(shell, "check", "--url", watched.url, "--profile", "quick", "--claims", claims)
    assert ended.code == 3
    assert ended.last_line == "exit 3: no claim was upheld (2 not applicable)"
    assert "Not applicable (2)" in ended.out
    assert "ORGO_RESTRICTED_API_KEY" in ended.out
    assert "ORGO_SECOND_API_KEY" in ended.out


# --- what the checks of correct servers have left --------------------------------------------------------------------


def test_report_lists_every_claim_with_verdict_and_checks(limited: Checked) -> None:
    """Each claim of the ledger is in the report with a verdict, and each verdict but two kinds names what gave it."""
    report = limited.ended.report()
    assert [claim["id"] for claim in report["claims"]] == [claim.id for claim in ledger_of_claims.load().judged()]
    assert {claim["verdict"] for claim in report["claims"]} <= set(VERDICTS)
    assert [c["id"] for c in report["claims"] if c["verdict"] == "upheld" and not c["checks"]] == []
    assert report["run"]["exit_code"] == 0
    assert report["schema_version"] == 1


def test_no_key_reaches_a_file_or_the_terminal(limited: Checked) -> None:
    """Neither a key nor a key without its last character is in any file of the run or in what it printed."""
    ended = limited.ended
    shown = {path.name: path.read_bytes() for path in Shell(ended.folder).files()}
    shown |= {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
    assert set(shown) > REPORTS | {"runlog.jsonl", "pytest.log"}
    assert {name for name, data in shown.items() for key in KEYS.values() if key[:-1].encode() in data} == set()


def test_report_can_be_made_again(limited: Checked) -> None:
    """`touchstone report` of a run log writes the same files and the same text as the run did."""
    ended = limited.ended
    shell = Shell(ended.folder, keys={})
    again = shell.run("report", str(ended.results / "runlog.jsonl"), "--report-dir", str(ended.folder / "again"))
    assert (again.code, again.err) == (ended.code, "")
    assert again.out.splitlines() == ended.out.splitlines()[2:]
    for name in REPORTS:
        assert (ended.folder / "again" / name).read_bytes() == (ended.results / name).read_bytes()


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_rules_take_any_answer(limited: Checked, share: float) -> None:
    """Whatever a server answers, no rule breaks on it, and each disagreement can be told."""
    log = read(limited.ended.results / "runlog.jsonl")
    judge = Judge(History(Contract.load()), ledger_of_claims.load(), catalogue.EXCHANGE_RULES, catalogue.STORY_RULES)
    exchanges = list(distorted(log.exchanges, 20, share))
    told = [judgement for exchange in exchanges for judgement in judge.see(exchange)]
    told += judge.tell({exchange.ref: None for exchange in exchanges if exchange.ref})
    findings = [judge.finding(judgement) for judgement in told if judgement.outcome == "broken"]
    assert findings
    assert all(finding.sentence() and finding.curl for finding in findings)


@pytest.mark.parametrize("kind", [*PUSHED, *(pytest.param(kind, marks=pytest.mark.whole) for kind in OTHERS)])
def test_correct_server_passes(checks: dict[str, "Future[Checked]"], kind: str) -> None:
    """
    A server that keeps its promises in its own way is found conforming, should claims included, and left as it was.
    """
    done = checks[kind].result()
    verdicts = done.ended.verdicts()
    assert (done.ended.code, done.ended.err) == (0, ""), done.ended.out
    assert done.ended.last_line.startswith("exit 0: no claim broken (")
    assert (done.refs, done.running) == ([], 0)
    assert {claim for claim, verdict in verdicts.items() if verdict in {"broken", "could-not-run"}} == set()
    assert "upheld" in verdicts.values()


def test_limit_that_only_builds_meet_is_judged(checks: dict[str, "Future[Checked]"]) -> None:
    """A quick check judges each claim on limits of a server that counts builds only."""
    verdicts = checks[BUILDS_COUNT].result().ended.verdicts()
    assert {claim for claim, verdict in verdicts.items() if verdict != "upheld"} == {"limit.reads-are-not-charged"}


def test_check_that_meets_no_limit_says_what_it_tried(checks: dict[str, "Future[Checked]"]) -> None:
    """The reason gives the number of builds that a quick check has begun."""
    rows = checks[NO_LIMITS].result().ended.report()["claims"]
    assert {row["verdict"] for row in rows if row["id"].startswith("limit.")} == {"not-applicable"}
    (row,) = (row for row in rows if row["id"] == "limit.refused-start-starts-nothing")
    assert "12 builds started" in row["reason"]


def test_nothing_is_changed_but_names_of_the_run(tmp_path: Path, call: Command) -> None:
    """A start, a cancel and a delete name a version that begins like those of the run, however odd its spelling is."""
    claims = "lookup.odd-spelling-is-404,publish.unparsable-is-400"
    with Watched() as watched:
        ended = call(Shell(tmp_path), "check", "--url", watched.url, "--profile", "quick", "--claims", claims)
        changes = [path for method, path in watched.asked if method not in ("GET", "HEAD", "OPTIONS", "TRACE")]
    run_id = ended.results.name
    named = [path.partition("/templates/")[2].partition("/")[2] for path in changes if "/templates/" in path]
    assert sum(name.startswith(f"touchstone-{run_id}-UPPER/") for name in named) == 2
    assert [name for name in named if run_id not in name.lower()] == []
