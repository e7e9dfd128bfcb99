"""`touchstone check` from end to end: correct servers pass, broken ones do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import KEYS, PRIMARY, Command, Ended, Shell
from tests.inline import inline
from tests.watched import Watched
from touchstone.contract import claims as ledger_of_claims
from touchstone.proof.faults.keys import SchemeIsCaseSensitive
from touchstone.twin import Engine, RateLimit
from touchstone.twin.catalog import Version

REPORTS = {"report.json", "report.html", "junit.xml"}


def quick(folder: Path, watched: Watched, claims: str, *more: str, keys: Any = KEYS) -> Ended:
    arguments = ("--profile", "quick", "--claims", claims, "--max-builds", "150")
    return inline(Shell(folder, keys), "check", "--url", watched.url, *arguments, *more)


def assert_passed(ended: Ended, watched: Watched) -> None:
    verdicts = set(ended.verdicts().values())
    assert (ended.code, ended.warnings) == (0, []), ended.out
    assert (watched.refs(), watched.running()) == ([], 0)
    assert "upheld" in verdicts
    assert verdicts.isdisjoint({"broken", "could-not-run"})


# --- one check of many claims -----------------------------------------------------------------------------------------

MANY = "access.start*,access.others-version*,auth.*,cancel.says*,error.*,events.f*,limit.*,lookup.odd*,publish.u*"


@dataclass(frozen=True, slots=True)
class Limited:
    """A check of a server with limits, and its write requests."""

    claims: str
    ended: Ended
    changes: list[str]


@pytest.fixture(scope="module", params=[MANY, pytest.param("*", marks=pytest.mark.whole)])
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Limited:
    with Watched(rate=RateLimit(8, 1.0), capacity=2) as watched:
        ended = quick(tmp_path_factory.mktemp("limited"), watched, request.param, "--strict")
        assert_passed(ended, watched)
        changes = [path for method, path in watched.received if method not in ("GET", "HEAD", "OPTIONS", "TRACE")]
    return Limited(request.param, ended, changes)


def test_report_has_every_claim_with_its_checks(limited: Limited) -> None:
    report = limited.ended.report()
    selected = [claim.id for claim in ledger_of_claims.load().select(limited.claims)]
    assert [claim["id"] for claim in report["claims"]] == selected
    assert [c["id"] for c in report["claims"] if c["verdict"] == "upheld" and not c["checks"]] == []
    assert (report["run"]["exit_code"], report["schema_version"]) == (0, 1)


def test_no_key_reaches_a_file_or_the_terminal(limited: Limited) -> None:
    written = {path.name: path.read_bytes() for path in Shell(limited.ended.folder).files()}
    written |= {"stdout": limited.ended.out.encode(), "stderr": limited.ended.err.encode()}
    assert set(written) > REPORTS | {"runlog.jsonl", "pytest.log"}
    assert {name for name, data in written.items() for key in KEYS.values() if key[:-1].encode() in data} == set()


def test_report_can_be_repeated(limited: Limited, call: Command) -> None:
    ended, folder = limited.ended, limited.ended.folder / "again"
    again = call(Shell(ended.folder, {}), "report", str(ended.results / "runlog.jsonl"), "--report-dir", str(folder))
    assert (again.code, again.err) == (ended.code, "")
    assert again.out.splitlines() == ended.out.splitlines()[2:]
    for name in REPORTS:
        assert (folder / name).read_bytes() == (ended.results / name).read_bytes()


def test_only_names_of_the_run_are_changed(limited: Limited) -> None:
    run_id = limited.ended.results.name
    parts = (path.partition("/templates/")[2].partition("/")[2] for path in limited.changes)
    names = [name for name in parts if name]
    assert sum(name.startswith(f"touchstone-{run_id}-UPPER/") for name in names) >= 2
    assert [name for name in names if run_id not in name.lower()] == []


# --- correct servers that behave in their own way ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "claims"),
    [
        ({"latency_s": 0.1}, "start.does-not-wait,cancel.settled-is-idle"),
        ({"build_s": 0.01, "settle_s": 0.0}, "start.concurrent*,reuse.status-code,cancel.says-c*,events.ready-ends*"),
        ({"digest_scope": "content"}, "reuse.same-digest-elsewhere,digest.ignores-spelling"),
        pytest.param({"build_s": 3.0}, "status.failed-has-error,events.cancelled*", marks=pytest.mark.whole),
        pytest.param(
            {"rate": RateLimit(6, 2.0, "token-bucket"), "retry_after": "date"}, "limit.*", marks=pytest.mark.whole
        ),
    ],
    ids=["latency", "fast-builds", "shared-digests", "slow-builds", "limit-names-a-date"],
)
def test_correct_server_passes(tmp_path: Path, settings: Mapping[str, Any], claims: str) -> None:
    with Watched(**settings) as watched:
        assert_passed(quick(tmp_path, watched, claims, "--strict"), watched)


def test_limit_that_only_builds_meet_is_judged(tmp_path: Path) -> None:
    with Watched(rate=RateLimit(6, 1.0), charges="builds") as watched:
        ended = quick(tmp_path, watched, "limit.*")
    unjudged = {claim for claim, verdict in ended.verdicts().items() if verdict != "upheld"}
    assert (ended.code, unjudged) == (0, {"limit.reads-are-not-charged"})


def test_check_that_meets_no_limit_reports_its_builds(tmp_path: Path) -> None:
    with Watched(build_s=0.02) as watched:
        ended = quick(tmp_path, watched, "limit.refused-start-starts-nothing")
        assert len(watched.launched) >= 12
    (row,) = ended.report()["claims"]
    assert (row["verdict"], "12" in row["reason"].split()) == ("not-applicable", True)


def test_embedded_twin_needs_no_key(tmp_path: Path) -> None:
    ended = inline(Shell(tmp_path, keys={}), "check", "--claims", "start.does-not-wait", "--profile", "quick")
    assert (ended.code, ended.verdicts()) == (0, {"start.does-not-wait": "upheld"})
    assert ended.report()["run"]["kind"] == "embedded"


# --- broken servers, and claims that are not judged -------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "code"), [((), 0), (("--strict",), 1)], ids=["usual", "strict"])
def test_broken_should_claim_counts_only_when_strict(tmp_path: Path, flags: tuple[str, ...], code: int) -> None:
    """The report names keys by the variables of the settings."""
    claims = "auth.scheme-*,start.does-not-wait,access.plan-is-no-key-matter"
    with Watched(engine=SchemeIsCaseSensitive) as watched:
        (tmp_path / "touchstone.toml").write_text(
            f'[targets.a]\nurl = "{watched.url}"\napi_key_env = "MINE"\nrestricted_api_key_env = "LOW"\n'
        )
        arguments = ("--target", "a", "--profile", "quick", "--claims", claims)
        ended = inline(Shell(tmp_path, {"MINE": PRIMARY}), "check", *arguments, *flags)
    verdicts = {claim: ended.verdicts()[claim] for claim in ("auth.scheme-ignores-case", "start.does-not-wait")}
    assert (ended.code, list(verdicts.values())) == (code, ["broken", "upheld"])
    assert "1 failed, 1 passed, 1 skipped" in (ended.results / "pytest.log").read_text("utf-8")
    report = ended.report()
    (finding,) = report["findings"]
    assert (finding["level"], finding["expected"] in ended.out) == ("should", True)
    assert "bearer $MINE" in finding["curl"]
    (reason,) = (row["reason"] for row in report["claims"] if row["verdict"] == "not-applicable")
    assert {"restricted_api_key_env", "LOW,"} <= set(reason.split())
    assert "ORGO_API_KEY" not in (ended.results / "report.html").read_text("utf-8") + ended.out


class NamesAnother(Engine):
    """Answers each publish with the ref of another client's version."""

    def published_body(self, version: Version) -> Any:
        return {**super().published_body(version), "ref": "default/somebody-else@1.0.0"}


def test_version_that_a_server_names_is_not_deleted(tmp_path: Path) -> None:
    with Watched(engine=NamesAnother) as watched:
        other = watched.publish("somebody-else")
        ended = quick(tmp_path, watched, "publish.ref-is-the-document")
        assert watched.refs() == [other]
    assert ended.verdicts() == {"publish.ref-is-the-document": "broken"}


class ReadsNotBuilt(SchemeIsCaseSensitive):
    """Reads not_built whatever was started, as a mock without state does."""

    def status_body(self, version: Version) -> Any:
        return {**super().published_body(version), "status": "not_built"}


def test_server_without_builds_is_judged_where_none_is_needed(tmp_path: Path) -> None:
    with Watched(engine=ReadsNotBuilt) as watched:
        ended = quick(tmp_path, watched, "auth.scheme-ignores-case,lookup.odd-*")
    assert ended.verdicts()["auth.scheme-ignores-case"] == "broken"
    assert any("-%zz/" in path for _, path in watched.received)


@pytest.mark.parametrize(
    ("claims", "reasons"),
    [
        ("reuse.same-digest-elsewhere", {"--digest-scope"}),
        ("access.start-needs*,access.others-version*", {"ORGO_RESTRICTED_API_KEY", "ORGO_SECOND_API_KEY"}),
    ],
    ids=["digest", "keys"],
)
def test_claim_that_does_not_apply_has_its_reason(tmp_path: Path, claims: str, reasons: set[str]) -> None:
    with Watched(digest_scope="document") as watched:
        ended = quick(tmp_path, watched, claims, "--profile", "standard", keys={"ORGO_API_KEY": PRIMARY})
    assert (ended.code, set(ended.verdicts().values())) == (3, {"not-applicable"})
    assert [reason for reason in reasons if reason not in ended.out] == []
