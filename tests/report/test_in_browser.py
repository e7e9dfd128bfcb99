"""Pages in Chromium: no errors, no overflow, print, filter."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.report.examples import example, page
from tests.report.rendered import Screen

TELEPHONE, DESK, PAPER = 320, 1080, 718  # CSS pixels; the last is A4 less the margins that Chromium leaves
PAGES = (
    *("check-failing", "check-hostile", "load-storm", "load-hostile", "probe-bucket", "knee-found"),
    *("proof-flawed", "proof-hostile", "compare-checks", "compare-loads"),
)
OPEN = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
FOLDED = "document.querySelectorAll('details:not([open])').length"
CONTROLS = "[...document.querySelectorAll('form, button')].filter(one => one.checkVisibility()).length"
ROWS = "[...document.querySelectorAll('[data-verdict], tr[data-state]')].filter(one => one.checkVisibility())"
Screens = Callable[[str], Screen]


@pytest.fixture(scope="module")
def screens(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screens]:
    folder = tmp_path_factory.mktemp("pages")
    with chromium.tab() as tab:

        def screen(name: str) -> Screen:
            path: Path = folder / f"{name}.html"
            path.write_text(page(example(name)), "utf-8")
            return Screen(tab, path.as_uri())

        yield screen


@pytest.mark.parametrize("name", PAGES)
def test_page_renders_without_errors_or_overflow(name: str, screens: Screens) -> None:
    screen = screens(name).show()
    assert (screen.requests, screen.console) == ([screen.url], [])
    assert screen.value("document.querySelector('h1').getBoundingClientRect().bottom < innerHeight")
    assert screen.value("document.scripts.length") == 1

    screen.value(OPEN)
    for width in (DESK, TELEPHONE):
        screen.put_on(width)
        assert screen.beyond() == []


@pytest.mark.parametrize("name", ["check-failing", "load-storm", "proof-flawed"])
def test_page_is_complete_in_print_and_without_script(name: str, screens: Screens) -> None:
    screen = screens(name).show()
    folded, text = screen.value(FOLDED), screen.value("document.body.innerText").split()
    screen.put_on(PAPER, dark=True, paper=True)
    screen.value("dispatchEvent(new Event('beforeprint'))")
    assert screen.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (screen.value(FOLDED), screen.value(CONTROLS), screen.beyond(paper=True)) == (0, 0, [])
    screen.value("dispatchEvent(new Event('afterprint'))")
    assert screen.value(FOLDED) == folded

    bare = screens(name).show(script=False)
    assert bare.value(CONTROLS) == 0
    assert len(bare.value("document.body.innerText").split()) >= 0.9 * len(text)


@pytest.mark.parametrize(
    ("name", "text", "field", "choice"),
    [
        ("check-failing", "CANCEL is", "verdict", "broken"),
        ("load-storm", "P99 limit", "level", "must"),
        ("proof-flawed", "CANCEL is", "state", "missed"),
    ],
)
def test_filter_hides_rows_until_it_is_cleared(name: str, text: str, field: str, choice: str, screens: Screens) -> None:
    screen = screens(name).show()
    screen.value("document.getElementById('filter').closest('details')?.setAttribute('open', '')")
    every = screen.value(f"{ROWS}.length")

    screen.value("document.querySelector('#filter [name=q]').focus()")
    screen.tab.call("Input.insertText", text=text)
    rows = screen.value(f"{ROWS}.map(one => one.textContent.toLowerCase())")
    assert 0 < len(rows) < every
    assert all(word.lower() in row for row in rows for word in text.split())
    screen.value("document.querySelector('#filter button[type=reset]').click()")
    # The rows return after the reset event.
    assert screen.value(f"new Promise(done => setTimeout(() => done({ROWS}.length), 0))") == every

    screen.value(f"document.querySelector('#filter [name={field}]').focus()")
    screen.press(choice[0], ord(choice[0].upper()))
    expected = screen.value(f"document.querySelectorAll('[data-{field}={choice}]').length")
    matches = f"{ROWS}.map(one => one.matches('[data-{field}={choice}]'))"
    assert screen.value(matches) == [True] * expected
    assert expected
    assert screen.console == []
