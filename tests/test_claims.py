"""The ledger of claims."""

from pathlib import Path

import pytest

from touchstone.contract import claims
from touchstone.errors import ContractError, UsageError
from touchstone.loadgen.thresholds import STATISTICS

ROW = "{id: a.one, level: must, says: x, source: y}"


def ledger(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text("claims:\n" + "".join(f"  - {row}\n" for row in rows), encoding="utf-8")
    return path


def test_bundled_ledger_is_whole() -> None:
    """The ledger that the package carries loads, has claims of both levels, and says why a row is excluded."""
    rows = claims.load()

    assert {claim.level for claim in rows.judged()} == {"must", "should"}
    assert [*rows.judged(), *rows.judged("load"), *rows.excluded()] == sorted(
        rows.values(), key=lambda row: 2 if row.excluded else row.by == "load"
    )
    assert all(claim.excluded for claim in rows.excluded())


def test_what_load_alone_can_tell_is_no_claim_of_a_check(tmp_path: Path) -> None:
    """
    A row says who judges it; neither command selects the claims of the other, and the message says which one does.
    """
    rows = claims.load(ledger(tmp_path, ROW, "{id: load.p50, level: must, says: x, source: y, by: load}"))

    assert [claim.id for claim in rows.judged()] == [claim.id for claim in rows.select("*")] == ["a.one"]
    assert [row.id for row in rows.judged("load")] == [row.id for row in rows.select("*", by="load")] == ["load.p50"]
    assert [claim.id for claim in rows.select("*", by=None)] == ["a.one", "load.p50"]
    with pytest.raises(UsageError, match=r"'load\.\*': `touchstone load` judges load\.p50; run that instead"):
        rows.select("load.*")
    with pytest.raises(UsageError, match=r"'a\.one': `touchstone check` judges a\.one; run that instead"):
        rows.select("a.one", by="load")


def test_load_has_a_claim_for_each_statistic_of_a_threshold() -> None:
    """
    The bundled rows that a load run judges are those of the thresholds, and what only the whole of a run can tell.
    """
    rows = claims.load().judged("load")

    assert {claim.subject for claim in rows} == {"load"}
    assert {claim.level for claim in rows} == {"must"}
    assert {claim.id for claim in rows} == {*(s.claim for s in STATISTICS.values()), "load.builds-admitted"}


def test_row_tells_its_subject(tmp_path: Path) -> None:
    """The subject of a claim is what stands before the dot."""
    row = claims.load(ledger(tmp_path, "{id: a.one, level: should, says: x, source: y, needs: [publish]}"))["a.one"]

    assert (row.subject, row.level, row.needs) == ("a", "should", {"publish"})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("just text", "claims[0] (no mapping)"),
        ("{id: a.one, level: must, says: x}", "claims[0] (a.one): source"),
        ("{id: a.one, level: must, says: ' ', source: y}", "claims[0] (a.one): says"),
        ("{id: 3, level: must, says: x, source: y}", "claims[0] (3): id"),
        ("{id: one, level: must, says: x, source: y}", "claims[0] (one): id"),
        ("{id: a.one, says: x, source: y}", "expected either a level or the reason"),
        ("{id: a.one, level: must, says: x, source: y, excluded: z}", "expected either a level or the reason"),
        ("{id: a.one, level: may, says: x, source: y}", "claims[0] (a.one): level"),
        ("{id: a.one, levl: must, says: x, source: y}", "claims[0] (a.one): levl"),
        ("{id: a.one, level: must, says: x, source: y, needs: publish}", "claims[0] (a.one): needs"),
        ("{id: a.one, level: must, says: x, source: y, needs: [gold]}", "claims[0] (a.one): needs"),
        ("{id: a.one, says: x, source: y, excluded: null}", "claims[0] (a.one): excluded"),
        ("{id: a.one, level: must, says: x, source: y, by: laod}", "claims[0] (a.one): by"),
    ],
)
def test_malformed_row_is_an_error(tmp_path: Path, row: str, message: str) -> None:
    """A row that cannot be right is told with its place, what was found and what was expected."""
    with pytest.raises(ContractError) as raised:
        claims.load(ledger(tmp_path, row))

    assert message in str(raised.value)


def test_id_that_occurs_twice_is_an_error(tmp_path: Path) -> None:
    """Two claims cannot have one id."""
    with pytest.raises(ContractError, match=r"a\.one: the id occurs twice"):
        claims.load(ledger(tmp_path, ROW, ROW))


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read"), ("claims: [", "not YAML"), ("claims: 3", "expected a mapping"), ("\xff", "not YAML")],
)
def test_file_that_is_no_ledger_is_an_error(tmp_path: Path, text: str | None, message: str) -> None:
    """A file that is missing or is no ledger is told by its path."""
    path = tmp_path / "claims.yaml"
    if text is not None:
        path.write_text(text, encoding="latin-1")

    with pytest.raises(ContractError) as raised:
        claims.load(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_select_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    """Globs choose claims in the order in which the ledger has them, each once."""
    rows = claims.load(ledger(tmp_path, ROW, ROW.replace("one", "two"), ROW.replace("a.one", "b.one")))

    assert [claim.id for claim in rows.select("b.*, a.*,*.one")] == ["a.one", "a.two", "b.one"]


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("a.onne", "--claims 'a.onne': no claim matches; did you mean a.one?"),
        ("a.*,q.*", "--claims 'q.*': no claim matches;"),
        ("", "--claims '': no claim matches"),
        (",", "--claims ',': no claim matches"),
        ("a.two", "--claims 'a.two': no claim matches; did you mean a.one?"),
    ],
)
def test_glob_that_matches_nothing_is_an_error(tmp_path: Path, glob: str, message: str) -> None:
    """Each glob has to match a judged claim, or the one that does not is told with the nearest id."""
    rows = claims.load(ledger(tmp_path, ROW, "{id: a.two, says: x, source: y, excluded: z}"))

    with pytest.raises(UsageError) as raised:
        rows.select(glob)
    assert str(raised.value).startswith(message)


def test_excluded_row_can_be_explained(tmp_path: Path) -> None:
    """An id of either kind is found, and an unknown one is told with the nearest."""
    rows = claims.load(ledger(tmp_path, "{id: a.two, says: x, source: y, excluded: z}"))

    assert rows.explain("a.two").excluded == "z"
    with pytest.raises(UsageError, match=r"'a\.tow': no such claim; did you mean a\.two\?"):
        rows.explain("a.tow")
