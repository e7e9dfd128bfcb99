"""Judges a HAR file of headless Chromium; ``python -m tests.recordings.test_browser_har`` renews chromium.har."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.browser import Browser, Saved, browser
from tests.command import PRIMARY, Ended, Shell
from tests.recorded import every, recorded
from tests.recordings.conftest import Run
from touchstone.contract.files import recordings_dir
from touchstone.facts.leaks import leaks
from touchstone.proof.faults import FAULTS
from touchstone.recordings.foreign import KEY_UNKNOWN
from touchstone.twin import TwinSettings
from touchstone.twin.serve import Asgi, Behaviour

KEPT = Path(__file__).parents[1] / "data" / "chromium.har"

# The key is not in the page; the test types it in.
PAGE = (KEPT.parent / "page.html").read_text("utf-8")

FILES = {
    "/page": Response(PAGE, media_type="text/html"),
    "/logo.svg": Response('<svg xmlns="http://www.w3.org/2000/svg"/>', media_type="image/svg+xml"),
    "/v3/forecast": Response('{"forecast": "fair"}', media_type="application/json"),
}
OTHERS = f"{len(FILES)} left out: of another API"
UNDECIDED = f"2 left out: {KEY_UNKNOWN}"

# Claims that the page tests whatever its timing.
OBSERVED = {
    *("publish.answers-201", "digest.is-the-published-one", "start.fresh-is-building", "status.ready-has-build-time"),
    *("events.framing", "events.terminal-frame-comes-last", "reuse.is-flagged", "cancel.finished-is-idle"),
    *("lookup.existing-version-is-found", "lookup.unknown-version-is-404", "error.has-the-documented-shape"),
    *("http.status-is-documented", "http.json-media-type", "http.no-server-error", "auth.valid-key-is-accepted"),
}
OF_KEYS = {"auth.missing-key-is-401", "auth.missing-key-text", "auth.unknown-key-is-401", "auth.invalid-key-text"}
# Claims that it also tests if the build still runs when the page starts to follow it.
OF_A_RUNNING_BUILD = {"events.ready-ends-on-ready", "events.open-while-building"}


def beside_the_api(api: Asgi) -> Asgi:
    """Serves the page on the origin of the API."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await FILES.get(scope["path"], api)(scope, receive, send)

    return app


def saved_from(behaviour: Behaviour, chromium: Browser) -> Saved:
    """The HAR file of the page at a twin with this behaviour."""
    with_page = replace(behaviour, wrap=lambda api: beside_the_api(behaviour.wrap(api)))
    with with_page.twin(TwinSettings(build_s=0.3)) as twin:
        return chromium.saved(f"{twin.url.removesuffix('/api')}/page", f"play('{PRIMARY}')")


CORRECT = Behaviour("correct", "Keeps every promise.")


def replayed(text: str, run: Run, folder: Path) -> Ended:
    """Replays a text as page.har, without a key in the environment."""
    (folder / "page.har").write_text(text, "utf-8")
    return run("replay", "page.har", keys={})


def upheld(ended: Ended) -> set[str]:
    return {claim for claim, verdict in ended.verdicts().items() if verdict == "upheld"}


def assert_judged_without_keys(ended: Ended, observed: set[str]) -> None:
    """In a file without keys, refusals of keys are counted and left out; the rest is judged."""
    assert (ended.code, ended.err, ended.report()["findings"]) == (0, "", [])
    assert observed - upheld(ended) == set()
    assert {ended.verdicts()[claim] for claim in OF_KEYS} == {"not-applicable"}
    assert ended.report()["warnings"] == [f"page.har: {OTHERS}", f"page.har: {UNDECIDED}"]


def test_kept_har_of_chromium_is_judged(run: Run, tmp_path: Path) -> None:
    text = KEPT.read_text("utf-8")
    assert leaks(text, {"primary": PRIMARY}) == ()
    assert_judged_without_keys(replayed(text, run, tmp_path), OBSERVED | OF_A_RUNNING_BUILD)


@pytest.fixture(scope="module")
def saved(chromium: Browser) -> Saved:
    return saved_from(CORRECT, chromium)


@pytest.mark.whole
@pytest.mark.parametrize("is_sanitized", [False, True])
def test_saved_har_is_judged_and_its_key_reaches_no_report(
    is_sanitized: bool, saved: Saved, run: Run, tmp_path: Path
) -> None:
    text = saved.sanitized if is_sanitized else saved.full
    assert (PRIMARY in text) != is_sanitized
    ended = replayed(text, run, tmp_path)
    if is_sanitized:
        assert_judged_without_keys(ended, OBSERVED)
    else:
        assert (ended.code, ended.err, ended.report()["findings"]) == (0, "", [])
        assert (OBSERVED | OF_KEYS) - upheld(ended) == set()
        assert ended.report()["warnings"] == [f"page.har: {OTHERS}"]
    written = [path for path in Shell(tmp_path).files() if path.name != "page.har"]
    assert {path.name for path in written} >= {"report.html", "report.json", "runlog.jsonl"}
    assert [path for path in written if PRIMARY.encode() in path.read_bytes()] == []
    assert PRIMARY not in ended.out + ended.err


@pytest.mark.whole
def test_page_at_a_broken_twin_is_judged_broken(chromium: Browser, run: Run, tmp_path: Path) -> None:
    ended = replayed(saved_from(FAULTS["reuse-is-not-told"], chromium).full, run, tmp_path)
    assert ended.code == 1
    assert ended.verdicts()["reuse.is-flagged"] == "broken"


@pytest.mark.whole
def test_recordings_are_opened_by_developer_tools(chromium: Browser) -> None:
    texts = [(recordings_dir() / f"{name}.har").read_text("utf-8") for name in every()]
    assert [sorted(requests) for requests in chromium.opened(*texts)] == [
        sorted((e.request.method, encoded(e.request.url), e.status, "fetch") for e in recorded(name).exchanges)
        for name in every()
    ]


def encoded(url: str) -> str:
    """The URL with the marker of a key percent-encoded, as in a file."""
    return url.replace("<", "%3C").replace(">", "%3E")


def keep() -> None:
    """Renews KEPT: the output of DevTools without the JavaScript stacks."""
    with browser() as running:
        har = json.loads(saved_from(CORRECT, running).sanitized)
    for entry in har["log"]["entries"]:
        del entry["_initiator"]
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(har, ensure_ascii=False, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    keep()
