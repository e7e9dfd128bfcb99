"""The ledger of claims: rows are validated strictly, and globs select claims."""

from pathlib import Path

import pytest

from touchstone.contract import claims
from touchstone.errors import ContractError, UsageError
from touchstone.loadgen.thresholds import STATISTICS

ROW = "{id: a.one, level: must, says: x, source: y}"
LOAD_ROW = "{id: load.p50, level: must, says: x, source: y, by: load}"
EXCLUDED_ROW = "{id: a.two, says: x, source: y, excluded: z}"


def ledger(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text("version: 2\nclaims:\n" + "".join(f"  - {row}\n" for row in rows), encoding="utf-8")
    return path


def test_bundled_ledger_has_a_claim_for_each_threshold_statistic() -> None:
    ledger = claims.load()
    rows = ledger.judged("load")
    assert len(ledger.judged()) + len(rows) + len(ledger.excluded()) == len(ledger)
    assert {claim.level for claim in ledger.judged()} == {"must", "should"}
    assert {claim.id for claim in rows} == {*(each.claim for each in STATISTICS.values()), "load.builds-admitted"}
    assert {(claim.subject, claim.level) for claim in rows} == {("load", "must")}


def test_each_command_selects_its_own_claims(tmp_path: Path) -> None:
    rows = claims.load(ledger(tmp_path, ROW, LOAD_ROW))
    assert [claim.id for claim in rows.select("*")] == ["a.one"]
    assert [claim.id for claim in rows.select("*", by="load")] == ["load.p50"]
    assert [claim.id for claim in rows.select("*", by=None)] == ["a.one", "load.p50"]
    with pytest.raises(UsageError, match=r"touchstone load.*load\.p50"):
        rows.select("load.*")
    with pytest.raises(UsageError, match=r"touchstone check.*a\.one"):
        rows.select("a.one", by="load")


def test_row_keeps_its_fields_and_can_be_raised_to_must(tmp_path: Path) -> None:
    needy = "{id: b.one, level: should, says: x, source: y, needs: [publish], since: 2}"
    rows = claims.load(ledger(tmp_path, ROW, needy))
    row = rows["b.one"]
    assert (row.subject, row.level, row.needs, row.since) == ("b", "should", frozenset({"publish"}), rows.version)
    raised = rows.raised(["b.one"])
    assert ([*raised], raised["b.one"].level, raised["a.one"]) == ([*rows], "must", rows["a.one"])


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        (["just text"], "claims.0"),
        ([ROW, "{id: b.one, level: must, says: x}"], "claims.1.source"),
        (["{id: a.one, says: x, source: y}"], "claims.0"),
        (["{id: a.one, level: must, says: x, source: y, excluded: z}"], "claims.0"),
        (["{id: a.one, levl: must, level: must, says: x, source: y}"], "claims.0.levl"),
        (["{id: a.one, level: must, says: x, source: y, since: 3}"], "a.one: "),
        ([ROW, ROW], "twice"),
    ],
)
def test_malformed_row_is_rejected_with_its_place(tmp_path: Path, rows: list[str], place: str) -> None:
    with pytest.raises(ContractError) as raised:
        claims.load(ledger(tmp_path, *rows))
    assert place in str(raised.value)


@pytest.mark.parametrize("text", [None, "claims: [", "claims: 3", "version: x\nclaims: []", "- claims", "\xff"])
def test_file_that_is_no_ledger_is_rejected_by_name(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "claims.yaml"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(ContractError) as raised:
        claims.load(path)
    assert str(path) in str(raised.value)


def test_selection_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    rows = claims.load(ledger(tmp_path, ROW, ROW.replace("one", "two"), ROW.replace("a.one", "b.one")))
    assert [claim.id for claim in rows.select("b.*, a.*,*.one")] == ["a.one", "a.two", "b.one"]


@pytest.mark.parametrize(
    ("glob", "data"),
    [("a.onne", ["'a.onne'", " a.one?"]), ("a.*,q.*", ["'q.*'"]), ("", []), (",", []), ("a.two", ["'a.two'"])],
)  # fmt: skip
def test_glob_without_a_match_is_rejected_with_the_nearest_id(tmp_path: Path, glob: str, data: list[str]) -> None:
    rows = claims.load(ledger(tmp_path, ROW, EXCLUDED_ROW))
    with pytest.raises(UsageError) as raised:
        rows.select(glob)
    assert [part for part in ["--claims", *data] if part not in str(raised.value)] == []


def test_excluded_row_can_be_explained(tmp_path: Path) -> None:
    rows = claims.load(ledger(tmp_path, EXCLUDED_ROW))
    assert rows.explain("a.two").excluded == "z"
    with pytest.raises(UsageError, match=r"'a\.tow'.* a\.two\?"):
        rows.explain("a.tow")
