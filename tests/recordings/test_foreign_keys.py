"""Accounts of the keys in foreign HAR files, and removal of keys and cookies."""

from dataclasses import asdict
from typing import Any

import pytest

from tests import foreign_files
from tests.foreign_files import BUILD, KEY, OTHER_KEY, WRONG_KEY, HarEntry, credentials, found, read_har, status_read
from tests.rules.exchanges import frame
from touchstone.errors import UsageError
from touchstone.facts import leaks
from touchstone.recordings import reader
from touchstone.recordings.foreign import KEY_UNKNOWN, LAPSED, NO_ACCOUNT
from touchstone.recordings.recording import Accounts

LONG = "abcdefghijklmnopqrstuvwxyz"
SESSION = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVP"
INVALID = "Invalid API key."
ACCOUNTS: Accounts = {KEY: "primary", OTHER_KEY: "second", foreign_files.SMALL_KEY: "restricted"}


def refused(at: float, text: str = "Missing API key.", **more: Any) -> HarEntry:
    """A status read with the response 401."""
    return HarEntry(at=at, status=401, answer={"error": text}, **more)


def other_read(at: float) -> HarEntry:
    """A read of a version that only the second account has."""
    answer = {"ref": "default/theirs@1.0.0", "digest": "cd" * 32, "status": "not_built"}
    return HarEntry(at=at, key=OTHER_KEY, path="/templates/default/theirs/1.0.0/build", answer=answer)


def authorization(value: str) -> dict[str, Any]:
    return {"key": None, "headers": {"Authorization": value}}


def test_keys_belong_to_the_accounts_of_the_user() -> None:
    recording = read_har(
        other_read(0.0),
        status_read("not_built", 1.0),
        foreign_files.start(3.0, key=foreign_files.SMALL_KEY, status=403, answer={"error": "The plan is too small."}),
        refused(4.0, INVALID, key=WRONG_KEY),
        refused(5.0, key=None),
        accounts=ACCOUNTS,
    )
    assert credentials(recording) == ["second", "primary", "restricted", "unknown", "none"]
    assert found(recording) == set()


def test_several_accepted_keys_need_accounts_unless_only_served() -> None:
    entries = status_read("not_built", 0.0), other_read(1.0)
    with pytest.raises(ValueError, match="--as") as refusal:
        read_har(*entries)
    assert "0123456789" not in str(refusal.value)
    assert credentials(read_har(*entries, accounts=None)) == ["primary", "primary"]


def test_key_without_an_account_is_left_out_and_marked() -> None:
    missing = HarEntry(at=2.0, status=404, answer={"error": f"not {OTHER_KEY}"})
    recording = read_har(status_read("ready", 0.0), other_read(1.0), missing, accounts={KEY: "primary"})
    assert (credentials(recording), recording.left_out) == (["primary", "primary"], {NO_ACCOUNT: 1})
    assert OTHER_KEY not in str(recording)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["primary=THE_KEY"], {KEY: "primary"}),
        ([f"primary={KEY}", f"primary={OTHER_KEY}"], {KEY: "primary", OTHER_KEY: "primary"}),
        ([f"unknown={WRONG_KEY}"], {WRONG_KEY: "unknown"}),
    ],
)
def test_account_option_takes_a_key_or_its_variable(options: list[str], expected: dict[str, str]) -> None:
    assert reader.accounts_of(options, {"THE_KEY": KEY}) == expected


@pytest.mark.parametrize(
    "options", [[KEY], [f"owner={KEY}"], ["primary="], ["primary=NOT_SET"], [f"primary={KEY}", f"second={KEY}"]]
)
def test_wrong_account_option_is_a_usage_error_without_the_key(options: list[str]) -> None:
    with pytest.raises(UsageError, match="--as") as refusal:
        reader.accounts_of(options, {})
    assert KEY not in str(refusal.value)


BASIC = authorization("Basic dXNlcjpwYXNzd29yZA==")
MASKS = ("[Filtered]", "Bearer ***", "Bearer <redacted>", "bearer [REDACTED]", "Bearer xxxxxxxx", "Bearer DUMMY")
UNDECIDED: dict[str, list[HarEntry]] = {
    "file without keys": [status_read("ready", 0.0, key=None), refused(1.0, key=None)],
    "key of a gateway": [status_read("ready", 0.0, **BASIC), refused(1.0, **BASIC)],
    "expired session": [status_read("ready", 0.0), refused(1.0, "Your session has expired.", key=SESSION)],
    "key in the query of a file without keys": [
        status_read("ready", 0.0, key=None),
        refused(1.0, key=None, path=f"{BUILD}?api_key={KEY}"),
    ],
    **{
        f"masked key {mask!r}": [status_read("ready", 0.0, **authorization(mask)), refused(1.0, **authorization(mask))]
        for mask in (*MASKS, "", "REMOVED", "Basic *****")
    },
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_refusal_of_an_unknown_key_is_left_out(case: str) -> None:
    recording = read_har(*UNDECIDED[case])
    assert (credentials(recording), recording.left_out) == (["primary"], {KEY_UNKNOWN: 1})
    assert KEY not in str(recording)


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        (f"Bearer {WRONG_KEY}", "unknown"),
        (f"bearer {KEY}", "lowercase-scheme"),
        (f"BEARER {KEY}", "lowercase-scheme"),
        (f"bearer {WRONG_KEY}", "malformed"),
        ("Basic dXNlcjpwYXNzd29yZA==", "malformed"),
        (f"Token {KEY}", "malformed"),
        ("Bearer", "malformed"),
        (KEY, "malformed"),
    ],
)
def test_header_of_another_form_is_recognised(header: str, credential: str) -> None:
    status, answer = (200, {}) if credential == "lowercase-scheme" else (401, {"error": INVALID})
    odd = HarEntry(at=1.0, key=None, headers={"authorization": header}, status=status, answer=answer)
    recording = read_har(status_read("ready", 0.0), odd)
    assert credentials(recording) == ["primary", credential]


def test_key_in_the_query_is_recognised_in_a_file_with_keys() -> None:
    recording = read_har(status_read("ready", 0.0), refused(1.0, key=None, path=f"{BUILD}?api_key={KEY}"))
    assert credentials(recording) == ["primary", "query"]
    assert recording.exchanges[1].request.url.endswith(f"{BUILD}?api_key=<key:primary>")


@pytest.mark.parametrize(
    "other_way",
    [
        {"headers": {"Cookie": f"session={LONG}"}},
        {"headers": {"X-API-Key": LONG}},
        {"path": f"{BUILD}?access_token={LONG}"},
        {"request": {"headersSize": -1}},
    ],
)
def test_request_with_another_credential_may_have_a_key(other_way: dict[str, Any]) -> None:
    recording = read_har(status_read("ready", 0.0), status_read("ready", 1.0, key=None, **other_way))
    assert (credentials(recording), found(recording)) == (["primary", "primary"], set())
    assert LONG not in str(recording)


def test_refusal_counts_only_while_its_key_is_accepted() -> None:
    refusals = [refused(at, INVALID) for at in (0.0, 2.0, 4.0)]
    recording = read_har(*refusals, status_read("ready", 1.0), status_read("ready", 3.0))
    assert [exchange.status for exchange in recording.exchanges] == [200, 401, 200]
    assert (recording.left_out, found(recording)) == ({LAPSED: 2}, {"auth.valid-key-is-accepted"})


def test_no_key_and_no_cookie_stays_in_the_recording() -> None:
    cookie = {"Cookie": "a=b; session=0123456789abcdef0123", ":authority": "www.orgo.test", "User-Agent": "Browser"}
    recording = read_har(
        status_read("ready", 0.0, headers=cookie),
        foreign_files.publish(1.0, posted=f'{{"template": {{"name": "hello", "version": "1.0.0"}}, "env": "{KEY}"}}'),
        foreign_files.log(2.0, text=f'data: {{"line": "{OTHER_KEY} and 0123456789abcdef0123"}}\n\n'),
        other_read(3.0),
        refused(4.0, f"{INVALID} {WRONG_KEY}", key=WRONG_KEY),
        refused(5.0, path=f"{foreign_files.PATH}?next={KEY}", key="sk_live_another_0123456789"),
        refused(6.0, **BASIC),
        accounts=ACCOUNTS,
    )
    text = str([asdict(exchange) for exchange in recording.exchanges])
    secrets = (KEY, OTHER_KEY, WRONG_KEY, "0123456789abcdef0123", "another_0123456789", "dXNlcjpwYXNzd29yZA")
    assert [secret for secret in secrets if secret in text] == []
    assert "<redacted> and <redacted>" in text
    assert leaks.leaks(text, {}) == ()
    headers = [dict(exchange.request.headers).get("Authorization") for exchange in recording.exchanges]
    assert headers[0] == "Bearer <key:primary>"
    assert headers[3:6] == ["Bearer <key:second>", "Bearer <key:unknown-1>", "Bearer <key:unknown-2>"]
    names = {name.lower() for exchange in recording.exchanges for name, _ in exchange.request.headers}
    assert names <= {"authorization", "content-type"}


def test_key_in_a_document_or_a_log_is_removed_without_a_finding() -> None:
    document = {"api_version": "orgo.ai/v1", "template": {"name": "hello", "version": "1.0.0"}, "env": {"KEY": KEY}}
    answer = {"ref": "default/hello@1.0.0", "digest": "ab" * 32, "template": document}
    event = {"ts": "2026-03-14T09:00:02Z", "level": "info", "phase": "install", "line": KEY}
    recording = read_har(
        HarEntry(path=foreign_files.PATH, answer=answer),
        foreign_files.log(1.0, text=frame(event).decode() + foreign_files.log_text("ready")),
    )
    assert found(recording) == set()
    assert KEY not in str(recording)


def test_key_in_an_error_is_a_finding() -> None:
    leak = read_har(status_read("ready", 0.0), refused(1.0, f"Invalid API key: {WRONG_KEY}", key=WRONG_KEY))
    assert found(leak) == {"error.does-not-repeat-the-key"}
