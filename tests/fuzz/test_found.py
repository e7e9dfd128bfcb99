"""What fuzzing has found, each smallest input that shows it again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import foreign_files, loadlogs
from tests.fuzz.steps import SECRET
from tests.fuzz.target import check_message
from touchstone import config
from touchstone.check.journal import JournalState
from touchstone.config import find
from touchstone.contract import claims, parsing
from touchstone.contract.document import Contract
from touchstone.contract.files import recordings_dir
from touchstone.errors import MAX_MESSAGE_CHARS, HarnessError
from touchstone.facts.events import Remark
from touchstone.facts.runlog import RunLogWriter, follow, read
from touchstone.limiter.probe import sender
from touchstone.loadgen.thresholds import read_thresholds
from touchstone.recordings import reader

KEY = "sk_live_first_0123456789"
LONG_NUMBER, LONGER_NUMBER, DEEP = "9" * 5000, f"0x{'f' * 5000}", "[" * 3000
ENDLESS = "&a [*a]"
# Ten lines that spell ten billion values.
BOMB = "\n".join(["l0: &l0 [x]", *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 11))])


def run_log(path: Path) -> object:
    line = path.read_bytes()
    path.unlink()
    with RunLogWriter(path) as writer:
        writer.write(loadlogs.header())
    with path.open("ab") as file:
        file.write(line + b"\n")
    assert [event["type"] for event in next(follow(path))] == ["header"]
    return read(path)


def own_recording(path: Path) -> object:
    document = json.loads((recordings_dir() / "missing-key.har").read_text("utf-8"))
    document["log"]["entries"][0]["_exchange"] |= json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(document), "utf-8")
    return reader.read(path)


def url(path: Path) -> object:
    return config.load(config.Flags(url=path.read_text("utf-8")), {"ORGO_API_KEY": "k" * 20}, path.parent)


CLAIM = '{"claims": [{"id": "%s", "level": "must", "says": "x", "source": "y"}]}'
PATHS = "openapi: 3.1.0\npaths: "
# Reader, the name of its file, how its message begins (with FILE for the path), and what it refuses.
REFUSED: tuple[tuple[Callable[[Path], object], str, str, tuple[str, ...]], ...] = (
    (claims.load, "claims.yaml", "FILE: ", (
        *(ENDLESS, BOMB, f"a: {LONG_NUMBER}", f"a: {LONGER_NUMBER}", f"{LONGER_NUMBER}: a", f"a: {DEEP}"),
        *("a: 2026-02-30", "!!binary ä", "a: !!int x", CLAIM % ".answers-202", CLAIM % "start.", CLAIM % "."),
    )),
    (lambda path: Contract(path.read_bytes()), "builds.yaml", "builds.yaml", (
        *(f"{PATHS}[]", f"{PATHS}{{/a: {{get: 1}}}}", f"{PATHS}{{/a: {{get: {{operationId: []}}}}}}"),
        f"{PATHS}{{/a: {{get: {{operationId: a, tags: 1}}}}}}",
        f"{PATHS}{{/a: {{get: {{operationId: a, responses: {{'200': x}}}}}}}}",
        f"{PATHS}{{/a: {{get: {{operationId: a, responses: {{'200': {{content: {{x: 1}}}}}}}}}}}}",
        f'{PATHS}{{/a: {{get: {{operationId: a, responses: {{"x\\ny": {{}}}}}}}}}}',
        *("openapi: 3.1.0\n? [a]\n: 1", "openapi: 3.1.0\nx: {$ref: '#/y', y: 1, 2: 3}"),
        *(f"openapi: 3.1.0\nx: {ENDLESS}", f"openapi: 3.1.0\nx: {'[' * 900}{']' * 900}"),
    )),
    (run_log, "runlog.jsonl", "FILE: line 2", ('{"type": []}', '{"type": {}}', '{"type": null}', "[" * 9000)),
    (reader.read, "a.har", "FILE: ", (
        *(f'{{"log": {LONG_NUMBER}}}', f'{{"log": {DEEP}', '{"log": {"_touchstone": {}, "pages": [{}]}}'),
        *(f'{{"log": {{"version": "{SECRET}", "entries": "{SECRET}"}}}}', f"{SECRET}: x"),
    )),
    (own_recording, "a.har", "FILE: /log/entries/0/_exchange/", (
        *('{"seq": 1e999}', '{"seq": "1"}', '{"credential": []}', '{"closed": 5}', '{"note": 1}'),
    )),
    (lambda path: find(None, path.parent), "touchstone.toml", "touchstone.toml: ", (
        *(f"seed = {LONG_NUMBER}", f"max_seconds = {LONGER_NUMBER}", f"x = [{{y = {LONGER_NUMBER}}}]"),
        *(f"max_seconds = 1{'0' * 400}", f"profile = {LONGER_NUMBER}", f"target = {DEEP}", '"a\\nb" = 1'),
        *('[targets."a\\u001b[31m\\nb"]\nurl = 1', 'report_dir = "a\\u0000b"'),
        f'claims = "{"x" * 9000}"\nprofile = "{"x" * 9000}"',
    )),
    (url, "url", "", (
        *(f"https://u:{SECRET}@host/a b", f"https://u:{SECRET[:9]}/{SECRET[9:]}@host/", f"https:/u:{SECRET}@host/"),
        *(f"u:{SECRET}@host", f"ftp://host/?key={SECRET}", f"https://u:?{SECRET}@host:99999999/"),
    )),
    (read_thresholds, "thresholds.toml", "FILE: ", (
        *(f"x = {LONG_NUMBER}", f"x = {DEEP}", f'[steady."*"]\np99_s = 1{"0" * 400}', '["a\\nb"]'),
    )),
)  # fmt: skip


@pytest.mark.timeout(30)
@pytest.mark.parametrize("row", range(len(REFUSED)), ids=[f"{row}-{REFUSED[row][1]}" for row in range(len(REFUSED))])
def test_garbage_is_refused_in_one_line_without_its_secrets(row: int, tmp_path: Path) -> None:
    read_it, name, place, texts = REFUSED[row]
    path = tmp_path / name
    for text in texts:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(HarnessError) as refused:
            read_it(path)
        check_message(refused.value, place.replace("FILE", str(path)), [SECRET[9:]])


@pytest.mark.parametrize("value", [";", ", ;", '"day";q=1,;', ";;;"])
def test_quota_field_of_separators_tells_nothing(value: str) -> None:
    fields = [("RateLimit", value), ("RateLimit-Policy", value), ("X-RateLimit-Limit", value)]
    assert sender.quota(fields).keys() <= {"limit"}


def test_aliases_within_bounds_are_read() -> None:
    assert parsing.read_yaml("a: &x [1, 2]\nb: *x\nc: [*x, *x]") == {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}


def test_log_is_readable_where_the_end_of_a_torn_line_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "runlog.jsonl"
    with RunLogWriter(path) as writer:
        writer.write(loadlogs.header())
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"warn')
    with RunLogWriter(path) as writer:
        writer.write(Remark("after"))
    marked = path.read_bytes()
    for end in range(marked.index(b"\n", len(whole)) + 2, len(marked) + 1):
        path.write_bytes(marked[:end])
        assert read(path).header == loadlogs.header()


def test_line_that_is_nested_too_deeply_hides_no_other_of_a_journal() -> None:
    lines = [
        json.dumps({"journal": 1, "run_id": "r", "target_url": "u"}),
        "[" * 9000,
        json.dumps({"step": "intend", "ref": "a/b@1.0.0"}),
    ]
    assert list(JournalState.after("\n".join([*lines, ""]).encode()).refs) == ["a/b@1.0.0"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ["Bearer abcdefghijkl", f"Digest {KEY}"]},
        {"Authorization": [f"Token {KEY}"], "Cookie": ["session=abcdefghijklmnop1234"]},
        {"Authorization": [KEY], "X-Auth-Token": ["abcdefghijklmnop1234"]},
        {"Proxy-Authorization": [f"Bearer {KEY}"]},
    ],
)
def test_key_in_any_header_for_keys_is_masked_wherever_it_stands(headers: dict[str, list[str]]) -> None:
    pairs = [{"name": name, "value": value} for name, values in headers.items() for value in values]
    location = {"headers": [{"name": "Location", "value": f"https://h/?a={KEY}"}]}
    recording = foreign_files.read_har(
        foreign_files.HarEntry(request={"headers": pairs}, answer={}),
        foreign_files.HarEntry(key=None, at=1.0, text=f"not {KEY}", response=location),
    )
    assert (len(recording.exchanges), KEY in repr(recording)) == (2, False)


def test_message_is_bounded_and_printable_whatever_it_quotes() -> None:
    assert str(HarnessError("a\x1b]0;x\x07\u202e\ud800\u2028é€\nb")) == "a\\x1b]0;x\\x07\\u202e\\ud800\\u2028é€\nb"
    long = str(HarnessError("begin" + "\x00" * 10_000 + "end"))
    assert (len(long), long[:5], long[-3:]) == (MAX_MESSAGE_CHARS, "begin", "end")
