"""A proof as a page."""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from html import unescape

import pytest

from tests.report.proofs import (
    EACH,
    HOSTILE,
    all_proven,
    fault,
    flawed,
    generated,
    hostile,
    interrupted,
    large,
    legitimate,
    missed,
    partial,
    proven,
    trial,
    view_of,
)
from tests.report.test_html import Page
from touchstone.report import proof_report
from touchstone.report.proof_report import ProofView

MAX_PAGE_BYTES = 1_500_000

each = pytest.mark.parametrize("make", [*EACH, large], ids=lambda make: make.__name__)


def page_of(view: ProofView) -> Page:
    """The page of a proof."""
    return Page(proof_report.render(view))


@cache
def source_of(make: Callable[[], ProofView]) -> str:
    """The page of a proof that several tests look at."""
    return proof_report.render(make())


@cache
def made(make: Callable[[], ProofView]) -> Page:
    """The same, taken apart."""
    return Page(source_of(make))


def words_of(source: str) -> str:
    """What a piece of a page says, with a blank for each border of an element."""
    bare = re.sub(r"<(script|style)>.*?</\1>|<[^>]*>", " ", source, flags=re.DOTALL)
    return re.sub(r" (?=[,.])", "", " ".join(unescape(bare).split()))


def text_of(view: ProofView) -> str:
    """What the page says."""
    return words_of(proof_report.render(view))


def rows_of(source: str) -> list[str]:
    """What the rows of the tables in a piece of a page say."""
    return [words_of(row) for row in re.findall(r"<tr.*?</tr>", source, flags=re.DOTALL)]


def card_of(view: ProofView, name: str) -> str:
    """What the page tells about one server that did not end well."""
    source = proof_report.render(view)
    articles = re.findall(r"<article.*?</article>", source, flags=re.DOTALL)
    (found,) = [article for article in articles if f"<h3>{name}</h3>" in article]
    return words_of(found)


@each
def test_page_is_well_formed(make: Callable[[], ProofView]) -> None:
    """Every element is closed, every id is unique, every reference within the page leads somewhere."""
    page = made(make)

    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = {href[1:] for href in page.values("href")} | set(page.values("data-copies"))
    assert targets <= set(ids)


@each
def test_page_needs_no_network(make: Callable[[], ProofView]) -> None:
    """Nothing is loaded: no source, no style sheet, no link that leaves the page; only our script may run."""
    source, page = source_of(make), made(make)

    assert page.values("src") == []
    assert page.tags["link"] + page.tags["img"] + page.tags["iframe"] + page.tags["object"] == 0
    assert [href for href in page.values("href") if not href.startswith("#")] == []
    assert "@import" not in source
    assert "url(" not in source
    (policy,) = [value for value in page.values("content") if "default-src" in value]
    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_server_cannot_write_markup() -> None:
    """Whatever a server says, the page has one script, ours, and no handler; templates are not evaluated."""
    page = page_of(hostile())

    assert page.tags["script"] == 1
    assert page.tags.keys() <= page_of(flawed()).tags.keys()
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert "{{7*7}}" in page.text
    assert "</script><script>alert(1)</script>" in page.text


def test_hidden_characters_are_visible() -> None:
    """No control character, no direction mark and no half of a surrogate pair is left in the page."""
    source = proof_report.render(hostile())

    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\ufeff\ud800-\udfff]", source) == []
    assert "\\u202egnp.exe" in source
    source.encode("utf-8")
    assert HOSTILE not in source


@pytest.mark.parametrize(
    ("view", "headline"),
    [
        (all_proven(), "✓ Every claim is proven 4 faults killed without noise"),
        (partial(), "✓ All found that was to be found 2 faults killed without noise. Exit code 0."),
        (view_of(proven()[4:6], complete=False), "✓ Nothing accused that is permitted 2 variants survived."),
        (flawed(), "✕ Not proven 1 fault missed, 1 fault found with noise"),
        (view_of([flawed().trials[-1]], complete=False), "! Could not be carried out 1 trial could not"),
        (interrupted(), "! Interrupted Interrupted after 3 of 9 trials. Exit code 130."),
    ],
    ids=["all", "partial", "variants", "flawed", "failed", "interrupted"],
)
def test_verdict_comes_first(view: ProofView, headline: str) -> None:
    """The first heading is the verdict, in words and with a symbol, and the reason follows it."""
    assert headline in text_of(view)[:500]
    assert page_of(view).tags["h1"] == 1


def test_partial_and_interrupted_proofs_say_so() -> None:
    """A reader is told what the proof does not cover."""
    assert "6 of 9 trials did not come to an end" in text_of(interrupted())
    assert "Only some servers were asked for" in text_of(partial())
    assert "no proof" not in text_of(partial())
    assert "Only some servers" not in text_of(all_proven())


@each
def test_each_trial_has_its_row_without_a_script(make: Callable[[], ProofView]) -> None:
    """All trials are in the table with their states; filter and copy buttons wait for the script."""
    view = make()
    page = made(make)

    assert Counter(page.values("data-state")) == Counter(one.state for one in view.trials)
    waiting = [tag for tag, name, _ in page.attributes if name == "hidden"]
    assert waiting.count("form") == bool(view.trials)
    assert waiting.count("button") == len(page.values("data-copies"))


def test_one_trial_has_no_order() -> None:
    """The list says how many there are, and of several in which order."""
    one = words_of(proof_report.render(view_of([missed()])))

    assert "1 trial" in one
    assert "1 trial, in the order" not in one
    assert "trials, in the order of their lists" in words_of(source_of(flawed))


def test_row_of_a_trial_tells_all() -> None:
    """Fault, class, state, blamed claim, noise, exchanges and seconds until found, and in all."""
    source = proof_report.render(flawed())
    rows = rows_of(source[source.index('id="all"') :])

    assert rows[1] == ("1 answers-200 The server does answers-200. schema ✓ killed start.answers-202 20 1.00 300 12.50")
    assert rows[3].endswith("stateful ✕ missed cancel.settles not cancel.says-idle – – 300 12.50")
    assert rows[4].endswith("semantic ? noisy start.answers-202 noise: cancel.says-idle 50 2.50 300 12.50")
    assert rows[5].endswith("variant ✕ accused noise: error.has-a-text – – 300 12.50")
    assert rows[6].endswith("timing ! failed the process ended with -9 – – 300 12.50")


def test_evidence_of_noise_shows_both_sides() -> None:
    """Expected, actual, check, case and exchanges, what had to be broken, and how to try it again."""
    card = card_of(flawed(), "poor-aim")

    for part in (
        "? noisy poor-aim fault, semantic",
        "The server does poor-aim.",
        "Has to be found broken: ✓ found: start.answers-202",
        "Noise: cancel.says-idle Expected what cancel.says-idle promises Actual something else",
        "Found by rules.cancel in build.some_case, after 40 exchanges and 2 s.",
        "Rightly blamed: start.answers-202",
        "trials/poor-aim",
        "touchstone prove --fault poor-aim --whole --seed 7",
    ):
        assert part in card


def test_evidence_of_a_miss_says_what_is_lacking() -> None:
    """Of several claims, the one that was not found is told from the one that was."""
    assert "✓ found: cancel.settles ✕ not found: cancel.says-idle" in card_of(flawed(), "half-found")
    nothing_found = view_of([trial(fault("silent", "cancel.settles"))])
    assert "Nothing was found in 300 exchanges, 4 claims judged." in card_of(nothing_found, "silent")


def test_evidence_against_a_legitimate_server_says_what_permits_it() -> None:
    """Whoever accuses it wrongly is shown the sentence that allows it."""
    card = card_of(flawed(), "odd-but-right")

    assert "Permitted by: facts 7.30" in card
    assert "Noise: error.has-a-text" in card
    assert "touchstone prove --variant odd-but-right" in card


def test_trial_without_a_say_tells_why() -> None:
    """The reason is there, and nothing is claimed about what was found."""
    card = card_of(flawed(), "hangs")

    assert "Why the examination has no say: the process ended with -9" in card
    assert "✓ found" not in card


def test_command_to_try_again_fits_the_sort() -> None:
    """Generated faults and permitted mutations are found with their flag; a name is quoted for the shell."""
    run = view_of([]).run

    assert proof_report.again(trial(generated("a.b")), run) == (
        "touchstone prove --generated --fault a.b --whole --seed 7"
    )
    permitted = trial(legitimate("it's", "facts 7.1", "permitted"))
    assert proof_report.again(permitted, run).startswith("touchstone prove --generated --fault 'it'\"'\"'s' ")


@pytest.mark.parametrize("view", [all_proven(), flawed(), large(100)], ids=["all", "flawed", "large"])
def test_picture_has_each_mark_in_its_row_and_column(view: ProofView) -> None:
    """One mark for each cell, in the column of its fault and the row of its claim, with a tooltip that names both."""
    source = proof_report.render(view)
    picture = source[source.index('<div class="matrix"') :]
    drawn = Counter(re.findall(r'class="(proves|also|noise|missing)"', picture))
    tips = re.findall(r'class="proves" x="([\d.]+)" y="(\d+)"[^>]*><title>(\S+)\n(\S+): ', picture)

    shown = [one for one in view.trials if one.subject.is_fault or one.state == "accused"]
    assert drawn == Counter(cell for one in shown for cell in view.cells[one.subject.name].values())
    assert len({(x, name) for x, _, _, name in tips}) == len({x for x, *_ in tips}) == len({tip[3] for tip in tips})
    assert len({(y, claim) for _, y, claim, _ in tips}) == len({y for _, y, *_ in tips})


def test_picture_has_a_legend_and_a_name_for_each_row() -> None:
    """Each shape is explained, each claim named beside its row, and a claim without a proof stands out."""
    source = proof_report.render(flawed())
    legend = source[source.index('<p class="key') : source.index('<div class="matrix"')]

    assert re.findall(r'class="(proves|also|noise|missing)"', legend) == ["proves", "also", "noise", "missing"]
    names = re.findall(r'<text x="\d+" y="\d+"( class="gap")?>([\w.-]+)<title>', source)
    assert [name for _, name in names] == [row.claim.id for row in flawed().claims]
    assert [name for gap, name in names if gap] == [row.claim.id for row in flawed().gaps]


def test_classes_are_counted_with_their_medians() -> None:
    """A row for each class and one for all, with the median exchanges and seconds until found."""
    source = proof_report.render(flawed())
    table = source[source.index('id="classes"') : source.index('id="claims"')]
    rows = rows_of(table)

    assert rows[1:] == [
        "schema 1 1 0 0 0 20 1.00",
        "semantic 2 1 0 1 0 40 2.00",
        "stateful 1 0 1 0 0 – –",
        "timing 1 0 0 0 1 – –",
        "all 5 2 1 1 1 30 1.50",
    ]


def test_each_claim_names_the_faults_that_prove_it() -> None:
    """A claim has its sentence, its source and its faults, and one without says so."""
    text = text_of(flawed())
    claims = text[text.index("Claims, and the faults that prove them") :]

    assert "✓ proven start.answers-202 must A start is answered with 202. build#intro answers-200 ✓ proven" in claims
    assert (
        "✕ no proof cancel.says-idle must A cancel of nothing says idle. build#cancel broken beside another by poor-aim"
        in claims
    )


def test_legitimate_servers_are_listed_with_what_permits_them() -> None:
    """Variants and permitted mutations are counted, each under its reason."""
    text = text_of(all_proven())
    permitted = text[text.index("Permitted: what must not be accused") :]

    assert "Permitted mutations · 1 facts 7.6: may be left out ✓ survived getBuild.reused.drop" in permitted
    assert "Variants · 2 facts 7.12 ✓ survived settles-slowly" in permitted


@pytest.mark.parametrize("wrong_every", [6, 1_000])
def test_large_proof_stays_small(wrong_every: int) -> None:
    """A page of 700 trials and 130 claims keeps under 1.5 MB, also where 230 did not end well."""
    view = large(700, wrong_every)
    source = proof_report.render(view)

    assert len(source.encode()) < MAX_PAGE_BYTES
    assert source.count("<article") == min(40, len(view.wrong))
    if len(view.wrong) > 40:
        assert f"{len(view.wrong) - 40} further ones in short" in source
