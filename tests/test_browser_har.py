"""A HAR saved by headless Chromium from a page that calls the API is judged as it is.

`python -m tests.test_browser_har` saves tests/data/chromium.har anew.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.browser import Browser, Saved, Unsuitable, browser
from tests.command import PRIMARY, Ended, Shell
from tests.recorded import every, recorded
from touchstone.contract.files import recordings_dir
from touchstone.facts.leaks import leaks
from touchstone.proof.faults import FAULTS
from touchstone.twin import TwinSettings
from touchstone.twin.serve import Asgi, Behaviour

KEPT = Path(__file__).parent / "data" / "chromium.har"

# The key is not in the page: it is typed in, so to speak.
PAGE = """<!doctype html><title>builds</title><link rel="icon" href="data:,"><img src="/logo.svg"><script>
const template = {api_version: 'orgo.ai/v1', template: {name: 'hello', version: '1.0.0'}, build: {run: ['echo hello']}};
const build = '/templates/default/hello/1.0.0/build';

function call(method, path, key, body) {
  const headers = new Headers(body && {'Content-Type': 'application/json'});
  if (key) headers.set('Authorization', ['Bearer', key].join(' '));
  return fetch(`/api${path}`, {method, headers, body: body && JSON.stringify(body)});
}

async function read(...request) {
  return (await call(...request)).text();
}

async function play(key) {
  await read('POST', '/templates', key, template);
  await read('GET', build, key);
  await read('DELETE', build, key);
  await read('POST', build, key);
  const log = await call('GET', `${build}/events`, key);
  for (let reads = 0; reads < 50 && (await read('GET', build, key)).includes('"building"'); reads++) {
    await new Promise(again => setTimeout(again, 500));
  }
  await log.text();
  await read('POST', build, key);
  await read('DELETE', build, key);
  await read('GET', '/templates/default/hello/9.9.9/build', key);
  await read('GET', build, `${key}_of_nobody`);
  await read('GET', build);
  await (await fetch('/v3/forecast')).text();
}
</script>"""

FILES = {
    "/page": Response(PAGE, media_type="text/html"),
    "/logo.svg": Response('<svg xmlns="http://www.w3.org/2000/svg"/>', media_type="image/svg+xml"),
    "/v3/forecast": Response('{"forecast": "fair"}', media_type="application/json"),
}
OTHERS = f"{len(FILES)} left out: of another API"
REFUSED = "2 left out: refused, and the file does not say with which key"

# What the page shows however long its requests take.
SHOWN = {
    *("publish.answers-201", "publish.ref-is-the-document", "digest.is-the-published-one"),
    *("start.answers-202", "start.body-is-documented", "start.fresh-is-building", "start.ref-is-the-path"),
    *("status.is-one-of-four", "status.ref-is-the-path", "status.unbuilt-is-not-built", "status.ready-has-build-time"),
    *("events.media-type", "events.framing", "events.phase-is-documented", "events.terminal-frame-comes-last"),
    *("reuse.is-flagged", "reuse.status-code", "reuse.ready-at-once", "reuse.only-when-reused"),
    *("cancel.idle-is-404", "cancel.says-idle", "cancel.finished-is-idle"),
    *("lookup.existing-version-is-found", "lookup.unknown-version-is-404", "error.has-the-documented-shape"),
    *("http.status-is-documented", "http.json-media-type", "http.no-server-error", "auth.valid-key-is-accepted"),
}
OF_KEYS = {"auth.missing-key-is-401", "auth.missing-key-text", "auth.unknown-key-is-401", "auth.invalid-key-text"}
# What it shows where the build is still running when the page has begun to follow it.
OF_A_RUNNING_BUILD = {"events.ready-ends-on-ready", "events.open-while-building"}


def beside_the_api(api: Asgi) -> Asgi:
    """The API, and the page on the same origin."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await FILES.get(scope["path"], api)(scope, receive, send)

    return app


def saved_from(behaviour: Behaviour, chromium: Browser) -> Saved:
    """What Chromium saves of the page at a twin that behaves so."""
    with_page = replace(behaviour, wrap=lambda api: beside_the_api(behaviour.wrap(api)))
    with with_page.twin(TwinSettings(build_s=0.3)) as twin:
        return chromium.saved(f"{twin.url.removesuffix('/api')}/page", f"play('{PRIMARY}')")


CORRECT = Behaviour("correct", "Keeps every promise.")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    try:
        with browser() as running:
            yield running
    except Unsuitable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def saved(chromium: Browser) -> Saved:
    """What it saves of the page at a correct twin."""
    return saved_from(CORRECT, chromium)


@pytest.fixture(scope="module")
def full(saved: Saved, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A replay of all that DevTools has written."""
    return replayed(saved.full, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def sanitized(saved: Saved, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A replay of what DevTools has written without what it takes for secret."""
    return replayed(saved.sanitized, tmp_path_factory.mktemp("sanitized"))


def replayed(text: str, folder: Path) -> Ended:
    """A replay of a file called page.har, without a key."""
    (folder / "page.har").write_text(text, "utf-8")
    return Shell(folder, {}).run("replay", "page.har")


def upheld(ended: Ended) -> set[str]:
    """The claims that a report calls upheld."""
    return {claim for claim, verdict in ended.verdicts().items() if verdict == "upheld"}


def test_saved_har_is_judged_in_full(full: Ended) -> None:
    """What a page does with the API is judged claim by claim, keys included, and what else it loads is counted."""
    assert (full.code, full.err, full.report()["findings"]) == (0, "", [])
    assert (SHOWN | OF_KEYS) - upheld(full) == set()
    assert full.report()["warnings"] == [f"page.har: {OTHERS}"]


def test_sanitized_har_is_judged_but_for_keys(sanitized: Ended) -> None:
    """
    Where DevTools leaves the keys out, refusals of keys are left out, too, and counted; the rest is judged the same.
    """
    assert_judged_without_keys(sanitized, SHOWN)


def assert_judged_without_keys(ended: Ended, shown: set[str]) -> None:
    assert (ended.code, ended.err, ended.report()["findings"]) == (0, "", [])
    assert shown - upheld(ended) == set()
    assert {ended.verdicts()[claim] for claim in OF_KEYS} == {"not-applicable"}
    assert ended.report()["warnings"] == [f"page.har: {OTHERS}", f"page.har: {REFUSED}"]


def test_changed_byte_in_a_saved_har_is_found(saved: Saved, tmp_path: Path) -> None:
    """One letter of a status word in the body of one read makes the replay fail, on the claim that it is about."""
    har = json.loads(saved.full)
    reads = [entry for entry in har["log"]["entries"] if is_read_of_ready(entry)]
    content = reads[0]["response"]["content"]
    content["text"] = content["text"].replace('"ready"', '"reedy"')

    ended = replayed(json.dumps(har), tmp_path)

    assert ended.code == 1
    assert {finding["claim"] for finding in ended.report()["findings"]} == {"status.is-one-of-four"}
    assert ended.verdicts()["status.is-one-of-four"] == "broken"


def is_read_of_ready(entry: dict[str, Any]) -> bool:
    request, text = entry["request"], entry["response"]["content"].get("text", "")
    return request["method"] == "GET" and request["url"].endswith("/build") and '"ready"' in text


def test_no_report_holds_the_key_of_a_page(saved: Saved, full: Ended, sanitized: Ended) -> None:
    """Nothing that a replay writes or prints holds the key that the page has sent, also where the file holds it."""
    assert (PRIMARY in saved.full, PRIMARY in saved.sanitized) == (True, False)
    for ended in (full, sanitized):
        written = [path for path in Shell(ended.folder).files() if path.name != "page.har"]
        assert {path.name for path in written} >= {"report.html", "report.json", "runlog.jsonl"}
        assert [path for path in written if PRIMARY.encode() in path.read_bytes()] == []
        assert PRIMARY not in ended.out + ended.err


@pytest.mark.parametrize(
    ("fault", "claim"),
    [
        ("reuse-is-not-told", "reuse.is-flagged"),
    ],
)
def test_page_at_a_broken_twin_is_judged_broken(fault: str, claim: str, chromium: Browser, tmp_path: Path) -> None:
    """A promise that a server breaks is found in what a browser saves of a page that runs into it."""
    ended = replayed(saved_from(FAULTS[fault], chromium).full, tmp_path)

    assert ended.code == 1
    assert ended.verdicts()[claim] == "broken"


def test_kept_har_of_chromium_is_judged(tmp_path: Path) -> None:
    """A file that Chromium saved some time ago is judged on any machine, and holds nothing that looks like a secret."""
    text = KEPT.read_text("utf-8")
    assert (leaks(text, {"primary": PRIMARY}), len(text) < 60_000) == ((), True)

    assert_judged_without_keys(replayed(text, tmp_path), SHOWN | OF_A_RUNNING_BUILD)


def keep() -> None:
    """Saves KEPT anew: as DevTools writes it, without the JavaScript stacks, which are a third of it."""
    with browser() as running:
        har = json.loads(saved_from(CORRECT, running).sanitized)
    for entry in har["log"]["entries"]:
        del entry["_initiator"]
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(har, ensure_ascii=False, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    keep()


def test_recordings_are_opened_by_developer_tools(chromium: Browser) -> None:
    """The network panel imports each recording of the twin, and shows each exchange as a fetch with its status."""
    texts = [(recordings_dir() / f"{name}.har").read_text("utf-8") for name in every()]
    shown = [sorted(requests) for requests in chromium.opened(*texts)]
    assert shown == [
        sorted((e.request.method, shown_url(e.request.url), e.status, "fetch") for e in recorded(name).exchanges)
        for name in every()
    ]


def shown_url(url: str) -> str:
    """The URL as a file has it: the marker of a key is percent-encoded there."""
    return url.replace("<", "%3C").replace(">", "%3E")
