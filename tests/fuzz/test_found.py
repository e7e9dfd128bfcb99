"""What fuzzing has found, each smallest input that shows it again."""

import json
from pathlib import Path

import pytest
import yaml

from tests import foreign_files, loadlogs
from tests.fuzz.steps import SECRET
from touchstone import config
from touchstone.check.journal import JournalState, header
from touchstone.config import find
from touchstone.contract import claims, parsing
from touchstone.contract.document import Contract
from touchstone.contract.files import recordings_dir
from touchstone.errors import MAX_MESSAGE_CHARS, ContractError, HarnessError, RecordingError, RunLogError, UsageError
from touchstone.facts.events import Remark
from touchstone.facts.runlog import RunLogWriter, follow, read
from touchstone.limiter.probe import quota_fields
from touchstone.loadgen.thresholds import read_thresholds
from touchstone.recordings import reader

SHOWN = "sk_live_first_0123456789"
LONG_NUMBER = "9" * 5000
DEEP = "[" * 3000
ENDLESS = "&a [*a]"
# Ten lines that spell ten billion values.
BOMB = "\n".join(["l0: &l0 [x]", *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 11))])


NO_VALUES = {
    "endless": ENDLESS,
    "bomb": BOMB,
    "long number": f"a: {LONG_NUMBER}",
    "longer number": f"a: 0x{'f' * 5000}",
    "long number for a key": f"0x{'f' * 5000}: a",
    "no date": "a: 2026-02-30",
    "deep": f"a: {DEEP}",
    "no bytes": "!!binary ä",
    "no number": "a: !!int x",
}
BAD_SETTINGS = {
    "long number": f"seed = {LONG_NUMBER}",
    "longer number": f"max_seconds = 0x{'f' * 5000}",
    "longer seed": f"seed = 0x{'f' * 5000}",
    "longer numbers in a list": f"x = [{{y = 0x{'f' * 5000}}}]",
    "number beyond floats": f"max_seconds = 1{'0' * 400}",
    "number for a word": f"profile = 0x{'f' * 5000}",
    "deep": f"target = {DEEP}",
    "key of two lines": '"a\\nb" = 1',
    "target with an escape": '[targets."a\\u001b[31m\\nb"]\nurl = 1',
    "folder with NUL": 'report_dir = "a\\u0000b"',
    "long words": f'claims = "{"x" * 9000}"\nprofile = "{"x" * 9000}"',
}
BAD_THRESHOLDS = {
    "long number": f"x = {LONG_NUMBER}",
    "deep": f"x = {DEEP}",
    "number beyond floats": f'[steady."*"]\np99_s = 1{"0" * 400}',
    "scenario of two lines": '["a\\nb"]',
}


def saved(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [";", ", ;", '"day";q=1,;', ";;;"])
def test_quota_field_of_separators_tells_nothing(value: str) -> None:
    """A list member that is only a semicolon has no item; any server could stop a run with one."""
    fields = [("RateLimit", value), ("RateLimit-Policy", value), ("X-RateLimit-Limit", value)]
    assert quota_fields.quota(fields).keys() <= {"limit"}


# --- YAML ------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", NO_VALUES)
def test_yaml_that_spells_no_plain_value_is_an_error(kind: str) -> None:
    """
    What holds itself, fills the memory or has no value is refused as other text that is no YAML, whoever reads it.
    """
    with pytest.raises(yaml.YAMLError):
        parsing.read_yaml(NO_VALUES[kind])


def test_aliases_within_bounds_are_read() -> None:
    """What other writers of YAML abbreviate is read as it was meant."""
    assert parsing.read_yaml("a: &x [1, 2]\nb: *x\nc: [*x, *x]") == {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("kind", NO_VALUES)
def test_ledger_that_is_no_yaml_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    """The message has the file and the line, and no line break."""
    path = saved(tmp_path, "claims.yaml", NO_VALUES[kind])
    with pytest.raises(ContractError) as refused:
        claims.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "openapi: 3.1.0\npaths: []",
        "openapi: 3.1.0\npaths: {/a: x}",
        "openapi: 3.1.0\npaths: {/a: {get: 1}}",
        "openapi: 3.1.0\npaths: {/a: {get: {operationId: []}}}",
        "openapi: 3.1.0\npaths: {/a: {get: {operationId: a, tags: 1}}}",
        "openapi: 3.1.0\npaths: {/a: {get: {operationId: a, responses: []}}}",
        "openapi: 3.1.0\npaths: {/a: {get: {operationId: a, responses: {'200': x}}}}",
        "openapi: 3.1.0\npaths: {/a: {get: {operationId: a, responses: {'200': {content: [1]}}}}}",
        "openapi: 3.1.0\npaths: {/a: {get: {operationId: a, responses: {'200': {content: {x: 1}}}}}}",
        "openapi: 3.1.0\n? [a]\n: 1",
        "openapi: 3.1.0\nx: {$ref: '#/y', y: 1, 2: 3}",
        f"openapi: 3.1.0\nx: {ENDLESS}",
        f"openapi: 3.1.0\nx: {'[' * 900}{']' * 900}",
    ],
)
def test_contract_of_another_form_is_refused(text: str) -> None:
    """What is no object where one belongs is told with its place."""
    with pytest.raises(ContractError, match=r"^builds\.yaml:?"):
        Contract(text.encode())


def test_contract_is_refused_in_one_line() -> None:
    """A path or a status of two lines does not break the message."""
    document = {"openapi": "3.1.0", "paths": {"/a": {"get": {"operationId": "a", "responses": {"x\ny": {}}}}}}
    with pytest.raises(ContractError) as refused:
        Contract(json.dumps(document).encode())
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", [".answers-202", "start.", "."])
def test_claim_without_a_subject_or_a_name_is_refused(name: str, tmp_path: Path) -> None:
    """Both halves of an id say something."""
    row = {"id": name, "level": "must", "says": "x", "source": "y"}
    with pytest.raises(ContractError, match=r"\): id: "):
        claims.load(saved(tmp_path, "claims.yaml", json.dumps({"claims": [row]})))


# --- run logs and journals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b'{"type": []}', b'{"type": {}}', b'{"type": null}', b"[" * 9000])
def test_line_with_an_odd_type_is_damage(line: bytes, tmp_path: Path) -> None:
    """A reader refuses it by its number, and a follower passes it over."""
    path = tmp_path / "runlog.jsonl"
    with RunLogWriter(path) as writer:
        writer.write(loadlogs.header())
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(RunLogError, match="line 2"):
        read(path)
    assert [event["type"] for event in next(follow(path))] == ["header"]


def test_log_is_readable_where_the_end_of_a_torn_line_was_cut(tmp_path: Path) -> None:
    """A disk that is full while a torn line is being marked leaves the lines before it readable."""
    path = tmp_path / "runlog.jsonl"
    with RunLogWriter(path) as writer:
        writer.write(loadlogs.header())
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"warn')
    with RunLogWriter(path) as writer:
        writer.write(Remark("after"))
    marked = path.read_bytes()
    mark = marked.index(b"\n", len(whole)) + 1
    for end in range(mark + 1, len(marked) + 1):
        path.write_bytes(marked[:end])
        assert read(path).header == loadlogs.header()


def test_line_that_is_nested_too_deeply_hides_no_other_of_a_journal() -> None:
    """The templates that the other lines name are swept."""
    lines = [json.dumps(header("r", "u")), "[" * 9000, json.dumps({"step": "intend", "ref": "a/b@1.0.0"})]
    assert list(JournalState.after("\n".join([*lines, ""]).encode()).refs) == ["a/b@1.0.0"]


# --- recordings ------------------------------------------------------------------------------------------------------


BAD_RECORDINGS: dict[str, tuple[str, str]] = {
    "HAR with a long number": ("a.har", f'{{"log": {LONG_NUMBER}}}'),
    "HAR that is deep": ("a.har", '{"log": ' + DEEP),
    "HAR with a key where a list belongs": ("a.har", json.dumps({"log": {"version": SECRET, "entries": SECRET}})),
    "ours without entries": ("a.har", '{"log": {"_touchstone": {}, "pages": [{}]}}'),
    "a file that is no JSON": ("a.yaml", f"{SECRET}: x"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", BAD_RECORDINGS)
def test_file_that_is_garbage_is_refused_and_not_repeated(kind: str, tmp_path: Path) -> None:
    """It is refused with its name, without a traceback, and without whatever stands in it."""
    name, text = BAD_RECORDINGS[kind]
    path = saved(tmp_path, name, text)
    with pytest.raises(RecordingError) as refused:
        reader.read(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"), [("seq", 1e999), ("seq", "1"), ("credential", []), ("closed", 5), ("note", 1)]
)
def test_field_of_ours_with_another_type_is_refused(field: str, value: object, tmp_path: Path) -> None:
    """What the rules would stumble over is refused where it is read."""
    document = json.loads((recordings_dir() / "missing-key.har").read_text("utf-8"))
    document["log"]["entries"][0]["_exchange"][field] = value
    with pytest.raises(RecordingError, match=f"/log/entries/0/_exchange/{field}: "):
        reader.read(saved(tmp_path, "a.har", json.dumps(document)))


def test_what_a_request_shows_that_is_left_out_is_marked_as_well() -> None:
    """
    Of a request without a known answer nothing is kept, and where an answer repeats its key or its cookie, not that.
    """
    secrets = {"key": "sk_live_elsewhere_0123456789", "session": "0123456789abcdefghij"}
    unanswered = foreign_files.Seen(
        at=1.0, key=secrets["key"], text=None, content={"size": 9}, headers={"Cookie": f"session={secrets['session']}"}
    )
    kept = foreign_files.Seen(answer={"status": "ready", **secrets})
    recording = foreign_files.read_har(kept, unanswered)
    assert len(recording.exchanges) == 1
    assert not [secret for secret in secrets.values() if secret in repr(recording)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ["Bearer abcdefghijkl", f"Bearer {SHOWN}"]},
        {"Authorization": ["Bearer abcdefghijkl", f"Digest {SHOWN}"]},
        {"Authorization": [f"Token {SHOWN}"], "Cookie": ["session=abcdefghijklmnop1234"]},
        {"Authorization": [SHOWN], "X-Auth-Token": ["abcdefghijklmnop1234"]},
        {"Proxy-Authorization": [f"Bearer {SHOWN}"]},
    ],
)
def test_key_in_any_header_for_keys_is_masked_wherever_it_stands(headers: dict[str, list[str]]) -> None:
    """A server reads one header for keys of several, or lets in by another; what they hold is no less a key."""
    pairs = [{"name": name, "value": value} for name, values in headers.items() for value in values]
    first = foreign_files.Seen(request={"headers": pairs}, answer={})
    location = {"headers": [{"name": "Location", "value": f"https://h/?a={SHOWN}"}]}
    second = foreign_files.Seen(key=None, at=1.0, text=f"not {SHOWN}", response=location)

    recording = foreign_files.read_har(first, second)

    assert len(recording.exchanges) == 2
    assert SHOWN not in repr(recording)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_settings_that_are_garbage_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    """The message is printable, bounded, and begins with the file."""
    saved(tmp_path, "touchstone.toml", BAD_SETTINGS[kind])
    with pytest.raises(UsageError) as refused:
        find(None, tmp_path)
    assert str(refused.value).startswith("touchstone.toml: ")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) <= MAX_MESSAGE_CHARS


@pytest.mark.parametrize(
    "url",
    [
        f"https://u:{SECRET}@host/a b",
        f"https://u:{SECRET[:9]}/{SECRET[9:]}@host/",
        f"https:/u:{SECRET}@host/",
        f"u:{SECRET}@host",
        f"ftp://host/?key={SECRET}",
        f"https://u:?{SECRET}@host:99999999/",
    ],
)
def test_broken_url_is_refused_without_its_password(url: str, tmp_path: Path) -> None:
    """However a URL is broken, nothing is repeated that may be a password or a key."""
    with pytest.raises(UsageError, match="expected") as refused:
        config.load(config.Flags(url=url), {"ORGO_API_KEY": "k" * 20}, tmp_path)
    assert SECRET[9:] not in str(refused.value)


@pytest.mark.parametrize("kind", BAD_THRESHOLDS)
def test_thresholds_that_are_garbage_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    """The same for the file of thresholds."""
    path = saved(tmp_path, "thresholds.toml", BAD_THRESHOLDS[kind])
    with pytest.raises(UsageError) as refused:
        read_thresholds(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert str(refused.value).isprintable()


# --- messages --------------------------------------------------------------------------------------------------------


def test_message_is_bounded_and_printable_whatever_it_quotes() -> None:
    """
    Escapes of a terminal and half characters are shown escaped; of what is long, the beginning and the end are left.
    """
    assert str(HarnessError("a\x1b]0;x\x07\u202e\ud800\u2028é€\nb")) == "a\\x1b]0;x\\x07\\u202e\\ud800\\u2028é€\nb"
    long = str(HarnessError("begin" + "\x00" * 10_000 + "end"))
    assert len(long) == MAX_MESSAGE_CHARS
    assert (long[:5], long[-3:]) == ("begin", "end")
