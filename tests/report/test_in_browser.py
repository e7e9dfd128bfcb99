"""Every page in a browser: nothing leaves it, it works by keyboard, in both colours, on a telephone and on paper."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser import Browser, Unsuitable, browser
from tests.loadlogs import Storm
from tests.report import proofs
from tests.report.conftest import write_failing, write_hostile, write_interrupted, write_passing
from tests.report.probelogs import run_of, story
from tests.report.rendered import Screen
from tests.report.test_compare import checks, loads
from tests.report.test_load_html import limited, window
from touchstone.facts.runlog import read
from touchstone.report import compare_report, html, proof_report
from touchstone.report.view import view

MAX_PAGE_BYTES = 300_000
TELEPHONE, DESK, PAPER = 320, 1080, 718  # CSS pixels; the last is A4 less the margins that Chromium leaves

OPEN = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
COLOUR = "(one => getComputedStyle(one).backgroundColor)"


def of_log(write: Callable[[Path], Path]) -> Callable[[Path], str]:
    """The page of a run log that is made for it."""
    return lambda folder: html.render(view(read(write(folder / "log"))))


def compared(folder: Path) -> str:
    """The page of two check runs."""
    return compare_report.render(checks(write_passing(folder / "a"), write_failing(folder / "b")))


def drowned(path: Path) -> str:
    """The page of a target that says 100 KB in every place, without a blank, from right to left."""
    long = "\u202e\u05d0" + "\u05e9\u05dc\u05d5\u05dd" * 12_500 + "<b>&\x1b[31m"
    log = read(write_hostile(path / "log"))
    occurrences = tuple(
        replace(one, finding=replace(one.finding, expected=long, actual=long, where=long, curl=long))
        for one in log.occurrences
    )
    exchanges = tuple(replace(one, error=long if one.error else None) for one in log.exchanges)
    told = {
        "warnings": (*log.warnings, long),
        "cases": tuple(replace(case, id=long, message=long) for case in log.cases),
        "notices": tuple(replace(notice, reason=long) for notice in log.notices),
    }
    return html.render(view(replace(log, occurrences=occurrences, exchanges=exchanges, **told)))


PAGES: dict[str, Callable[[Path], str]] = {
    "passing": of_log(write_passing),
    "failing": of_log(write_failing),
    "interrupted": of_log(write_interrupted),
    "hostile": of_log(write_hostile),
    "drowned": drowned,
    "load": lambda folder: html.render(view(limited(Storm(rate=window, retry_s=0.3).run()))),
    "probe": lambda folder: html.render(run_of(story("token-bucket:20/2,burst=8"))),
    "compared": compared,
    "loads compared": lambda folder: compare_report.render(loads()),
    "proof": lambda folder: proof_report.render(proofs.flawed()),
    "hostile proof": lambda folder: proof_report.render(proofs.hostile()),
}
FILTERED = ("passing", "failing", "interrupted", "hostile", "drowned", "load", "probe", "proof", "hostile proof")

each = pytest.mark.parametrize("page", PAGES)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    try:
        with browser() as running:
            yield running
    except Unsuitable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def screens(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Screen]]:
    """Shows a page by its name, always in the same tab."""
    folder = tmp_path_factory.mktemp("pages")
    made: dict[str, Path] = {}
    with chromium.tab() as tab:

        def screen(name: str) -> Screen:
            if name not in made:
                made[name] = folder / f"{name.replace(' ', '-')}.html"
                (folder / f"{len(made)}").mkdir()
                made[name].write_text(PAGES[name](folder / f"{len(made)}"), "utf-8")
            return Screen(tab, made[name].as_uri())

        yield screen


Screens = Callable[[str], Screen]


@each
def test_page_keeps_to_itself(page: str, screens: Screens) -> None:
    """It asks for nothing but itself, says nothing to the console, and its first heading and its words are in sight."""
    screen = screens(page).show()
    assert screen.requests() == [screen.url]
    assert screen.said() == []
    heading = screen.value(
        "(() => { const one = document.querySelector('h1'), box = one.getBoundingClientRect();"
        "return [one.innerText, box.top > 0 && box.bottom < innerHeight, document.title]; })()"
    )
    assert heading[1]
    assert heading[0].strip()
    assert len(Path(screen.url.removeprefix("file://")).read_bytes()) < MAX_PAGE_BYTES


@each
def test_text_stands_out(page: str, screens: Screens) -> None:
    """
    The page follows the colours of the system, and each text has a contrast of 4.5 with what is behind it, 3 if large.
    """
    screen = screens(page).show()
    for dark in (False, True):
        screen.put_on(dark=dark)
        screen.value(OPEN)
        shades = [int(part) for part in re.findall(r"\d+", screen.value(f"{COLOUR}(document.body)"))[:3]]
        assert (max(shades) < 60) if dark else (min(shades) > 235)
        assert screen.faint() == []


@each
def test_page_fits_its_window(page: str, screens: Screens) -> None:
    """
    Nothing has to be looked for on the right, whatever a target said; wide tables and pictures scroll by themselves.
    """
    screen = screens(page).show()
    screen.value(OPEN)
    for width in (DESK, 400, TELEPHONE):
        screen.put_on(width)
        assert screen.beyond() == []


@each
def test_page_goes_on_paper(page: str, screens: Screens) -> None:
    """Also from a dark screen: black on white, no controls, all folds open, nothing wider than the sheet or cut off."""
    screen = screens(page).show(PAPER, dark=True, paper=True)
    folded = screen.value("document.querySelectorAll('details:not([open])').length")
    screen.value("dispatchEvent(new Event('beforeprint'))")
    told = screen.value(
        "({body: getComputedStyle(document.body).backgroundColor,"
        "dark: [...document.querySelectorAll('.card, pre, .verdict, table, h1')].filter(one => {"
        "  const [r, g, b, a = 1] = getComputedStyle(one).backgroundColor.match(/[\\d.]+/g).map(Number);"
        "  return one.checkVisibility() && a && Math.min(r, g, b) < 200; }).map(one => one.className),"
        "controls: [...document.querySelectorAll('form, button, nav')].filter(one => one.checkVisibility()).length,"
        "closed: document.querySelectorAll('details:not([open])').length,"
        "words: document.body.innerText})"
    )
    assert told["body"] == "rgb(255, 255, 255)"
    assert (told["dark"], told["controls"], told["closed"]) == ([], 0, 0)
    assert screen.faint() == []
    assert screen.beyond(paper=True) == []
    assert screen.cut() == []
    assert screen.value("document.querySelector('h1').innerText") in told["words"]
    screen.value("dispatchEvent(new Event('afterprint'))")
    assert screen.value("document.querySelectorAll('details:not([open])').length") == folded


@each
def test_page_is_read_without_a_script(page: str, screens: Screens) -> None:
    """All that the page tells is there; what would need the script is not shown."""
    screen = screens(page).show(script=False)
    bare = screen.value(
        "({text: document.body.innerText, controls: [...document.querySelectorAll('form, button')]"
        ".filter(one => one.checkVisibility()).length})"
    )
    assert bare["controls"] == 0
    full = screens(page).show().value("document.body.innerText")
    assert set(bare["text"].split()) <= set(full.split()) | {"Copy"}
    kept = re.sub(r"\d+ of \d+ \w+ shown", "", full.replace("Copy", "").replace("Clear", ""))
    assert len(bare["text"].split()) >= 0.97 * len(kept.split())


@each
def test_page_works_by_keyboard(page: str, screens: Screens) -> None:
    """
    Tab comes to every link, control and fold in the order of the page, each in sight and with a ring, and leaves again.
    """
    screen = screens(page).show()
    count, stops = screen.stops()
    assert [place for place, _, _, _ in stops] == list(range(count))
    assert [name for _, seen, ring, name in stops if not (seen and ring)] == []


@pytest.mark.parametrize("page", ["failing", "hostile", "proof"])
def test_fold_opens_by_keyboard(page: str, screens: Screens) -> None:
    """Enter and the space bar open and close a fold."""
    screen = screens(page).show()
    screen.value("document.querySelector('summary').focus()")
    is_open = "document.querySelector('details').open"
    before = screen.value(is_open)
    screen.press("Enter", 13, "\r")
    assert screen.value(is_open) is not before
    screen.press(" ", 32, " ")
    assert screen.value(is_open) is before


SHOWN_ROWS = "[...document.querySelectorAll('[data-verdict], tr[data-state]')].filter(one => one.checkVisibility())"


@pytest.mark.parametrize("page", FILTERED)
def test_filter_is_typed_into(page: str, screens: Screens) -> None:
    """Words and choices narrow the list down to what has them all, its number is told, and Clear brings all back."""
    screen = screens(page).show()
    screen.value("document.getElementById('filter').closest('details')?.setAttribute('open', '')")
    every = screen.value(f"{SHOWN_ROWS}.length")
    screen.value("document.querySelector('#filter [name=q]').focus()")
    words = {"load": ("P99", "limit"), "probe": ("P99", "limit")}.get(page, ("CANCEL", "is"))
    screen.type(" ".join(words))
    rows = screen.value(f"{SHOWN_ROWS}.map(one => one.textContent)")
    assert 0 < len(rows) < every
    assert [text for text in rows if not all(word.lower() in text.lower() for word in words)] == []
    assert screen.value("document.getElementById('shown').textContent").startswith(f"{len(rows)} of {every} ")

    screen.type(" no-such-word")
    assert screen.value(f"{SHOWN_ROWS}.length") == 0
    screen.value("document.querySelector('#filter button[type=reset]').focus()")
    screen.press("Enter", 13, "\r")
    # What a reset changes is shown once its event is over.
    assert screen.value(f"new Promise(done => setTimeout(() => done({SHOWN_ROWS}.length), 0))") == every
    assert screen.said() == []


@pytest.mark.parametrize(
    ("page", "field", "key", "attribute"),
    [
        ("failing", "verdict", "b", "data-verdict=broken"),
        ("failing", "level", "s", "data-level=should"),
        ("load", "level", "m", "data-level=must"),
        ("proof", "state", "m", "data-state=missed"),
        ("proof", "kind", "t", "data-kind=timing"),
    ],
)
def test_filter_takes_a_choice_by_keyboard(page: str, field: str, key: str, attribute: str, screens: Screens) -> None:
    """The first letter of a verdict, level, state or class picks it, and no other row is shown."""
    screen = screens(page).show()
    screen.value("document.getElementById('filter').closest('details')?.setAttribute('open', '')")
    expected = screen.value(f"document.querySelectorAll('[{attribute}]').length")
    screen.value(f"document.querySelector('#filter [name={field}]').focus()")
    screen.press(key, ord(key.upper()), key)
    shown = screen.value(f"{SHOWN_ROWS}.map(one => one.matches('[{attribute}]'))")
    assert shown == [True] * expected
    assert expected


def test_number_in_the_banner_filters(screens: Screens) -> None:
    """A click on so many broken shows those, and leads to them."""
    screen = screens("failing").show()
    screen.value("document.querySelector('[data-filter=broken]').click()")
    assert screen.value(f"{SHOWN_ROWS}.map(one => one.dataset.verdict)") == ["broken"] * 3
    assert screen.value("location.hash") == "#claims"


@pytest.mark.parametrize("page", ["hostile", "drowned", "hostile proof"])
def test_text_of_a_target_stays_text(page: str, screens: Screens) -> None:
    """No element, script, handler or address comes of it, nothing runs, and lines keep their direction."""
    screen = screens(page).show()
    told = screen.value(
        "({scripts: document.scripts.length, handlers: [...document.querySelectorAll('*')].flatMap(one =>"
        "[...one.attributes]).filter(one => one.name.startsWith('on')).length,"
        "foreign: document.querySelectorAll('img, iframe, object, embed, link, base, video, audio').length,"
        "leaving: [...document.links].filter(one => !one.getAttribute('href').startsWith('#')).length,"
        "bold: document.querySelectorAll('b').length, text: document.body.textContent})"
    )
    assert (told["scripts"], told["handlers"], told["foreign"], told["leaving"]) == (1, 0, 0, 0)
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", told["text"]) == []
    assert screen.said() == []


def test_folds_are_printed_without_a_script(screens: Screens) -> None:
    """A style sheet opens them on paper where no script does."""
    screen = screens("failing").show(PAPER, paper=True, script=False)
    seen = "[...document.querySelectorAll('details:not([open]) > :not(summary)')].map(one => one.checkVisibility())"
    assert set(screen.value(seen)) == {True}
    assert set(screens("failing").show(script=False).value(seen)) == {False}
