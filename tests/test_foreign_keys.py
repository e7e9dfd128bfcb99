"""Whose key a request of a file holds is for the user to say, and no key stays in a recording."""

from dataclasses import asdict
from typing import Any

import pytest

from tests.foreign_files import (
    BUILD,
    KEY,
    OTHER_KEY,
    PATH,
    SMALL_KEY,
    WRONG_KEY,
    Seen,
    broken,
    credentials,
    found,
    judged,
    log,
    log_text,
    publish,
    read_har,
    start,
    status_read,
)
from tests.rules.exchanges import frame
from touchstone.errors import UsageError
from touchstone.facts import leaks
from touchstone.recordings import reader
from touchstone.recordings.foreign import NOT_NAMED
from touchstone.recordings.recording import Accounts

SESSION = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVP"
UNTOLD = "refused, and the file does not say with which key"
LAPSED = "refused, and the key may not have been valid at that time"


def refused(at: float, text: str = "Missing API key.", **more: Any) -> Seen:
    """A status read that is answered 401."""
    return Seen(at=at, status=401, answer={"error": text}, **more)


def other_read(at: float, key: str = OTHER_KEY, **more: Any) -> Seen:
    """A read of a version that only the other account has."""
    answer = {"ref": "default/theirs@1.0.0", "digest": "cd" * 32, "status": "not_built"}
    return Seen(at=at, key=key, path="/templates/default/theirs/1.0.0/build", answer=answer, **more)


ACCOUNTS: Accounts = {KEY: "primary", OTHER_KEY: "second", SMALL_KEY: "restricted"}


def test_user_says_whose_keys_are() -> None:
    """Each key is of the account that the user named; one that is always refused is of nobody."""
    recording = read_har(
        other_read(0.0),
        status_read("not_built", 1.0),
        start(3.0, key=SMALL_KEY, status=403, answer={"error": "The plan is too small."}),
        refused(4.0, "Invalid API key.", key=WRONG_KEY),
        refused(5.0, key=None),
        accounts=ACCOUNTS,
    )

    assert credentials(recording) == ["second", "primary", "restricted", "unknown", "none"]
    assert recording.terms.keys == ("primary", "second", "restricted")
    assert found(recording) == set()


def test_several_keys_of_nobody_are_refused() -> None:
    """Where several keys are accepted, the user has to say whose they are; the message repeats none of them."""
    with pytest.raises(ValueError, match="--as primary=KEY") as refusal:
        read_har(status_read("not_built", 0.0), other_read(1.0))

    assert "0123456789" not in str(refusal.value)


def test_only_key_is_the_primary_one() -> None:
    """A key that is always refused beside it is of nobody."""
    recording = read_har(status_read("not_built", 0.0), refused(1.0, "Invalid API key.", key=WRONG_KEY))

    assert credentials(recording) == ["primary", "unknown"]


def test_key_that_nobody_named_is_left_out() -> None:
    """What was done with another account's key is not judged, and the key is not kept."""
    error = {"status": 404, "answer": {"error": f"not {OTHER_KEY}"}}
    recording = read_har(status_read("ready", 0.0), other_read(1.0), Seen(at=2.0, **error), accounts={KEY: "primary"})

    assert (credentials(recording), recording.left_out) == (["primary", "primary"], {NOT_NAMED: 1})
    assert OTHER_KEY not in str(recording)


def test_several_keys_may_be_of_one_account() -> None:
    """A page whose session changes from time to time is one account, of whose versions none is somebody else's."""
    renewed = SESSION.replace("dBjf", "Xyz1")
    recording = read_har(
        publish(0.0, key=SESSION),
        status_read("not_built", 1.0, key=renewed),
        status_read("not_built", 2.0, key=KEY),
        accounts={SESSION: "primary", renewed: "primary", KEY: "primary"},
    )

    assert credentials(recording) == ["primary"] * 3
    headers = {value for exchange in recording.exchanges for name, value in exchange.request.headers if name[0] == "A"}
    assert headers == {"Bearer <key:primary>"}
    assert broken(judged(recording)) == set()


def test_whose_keys_are_does_not_matter_where_a_recording_is_served() -> None:
    """A file with several keys answers requests without anybody saying more."""
    recording = read_har(status_read("not_built", 0.0), other_read(1.0), accounts=None)

    assert credentials(recording) == ["primary", "primary"]


def test_versions_of_another_account_are_not_found_by_ours() -> None:
    """404 is right for what is not one's own, and two accounts may have versions of one name."""
    missing = Seen(at=2.0, key=OTHER_KEY, status=404, answer={"error": "Not found."})
    theirs = publish(4.0, fields={"digest": "cd" * 32}, key=OTHER_KEY)
    recording = read_har(
        status_read("ready", 0.0), missing, other_read(3.0), theirs, status_read("ready", 5), accounts=ACCOUNTS
    )

    assert credentials(recording) == ["primary", "second", "second", "second", "primary"]
    assert broken(judged(recording)) == set()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["primary=THE_KEY"], {KEY: "primary"}),
        ([f"primary={KEY}", f"primary={OTHER_KEY}"], {KEY: "primary", OTHER_KEY: "primary"}),
        ([f"unknown={WRONG_KEY}"], {WRONG_KEY: "unknown"}),
    ],
)
def test_account_is_named_with_a_key_or_its_variable(options: list[str], expected: dict[str, str]) -> None:
    """No key has to stand on a command line."""
    assert reader.accounts_of(options, {"THE_KEY": KEY}) == expected


@pytest.mark.parametrize(
    "options", [[KEY], [f"owner={KEY}"], ["primary="], ["primary=NOT_SET"], [f"primary={KEY}", f"second={KEY}"]]
)
def test_account_that_is_not_understood_is_refused(options: list[str]) -> None:
    """The message says what to write, and holds no key."""
    with pytest.raises(UsageError, match=r"^--as.*expected") as refusal:
        reader.accounts_of(options, {})

    assert KEY not in str(refusal.value)


def test_scheme_of_a_gateway_is_no_malformed_key() -> None:
    """Where no key is accepted at all, something else lets requests in, and nobody knows why others are refused."""
    basic: dict[str, Any] = {"key": None, "headers": {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}}
    recording = read_har(status_read("ready", 0.0, **basic), refused(1.0, **basic))

    assert (credentials(recording), recording.left_out) == (["primary"], {UNTOLD: 1})


def test_file_without_keys_is_of_one_account() -> None:
    """A browser takes the header out: what is served is ours, and why the rest was refused nobody knows."""
    recording = read_har(status_read("ready", 0.0, key=None), refused(1.0, key=None), start(2.0, key=None))

    assert credentials(recording) == ["primary", "primary"]
    assert recording.left_out == {UNTOLD: 1}


@pytest.mark.parametrize(
    "masked",
    [
        "[Filtered]",
        "Bearer ***",
        "Bearer <redacted>",
        "bearer [REDACTED]",
        "Bearer xxxxxxxx",
        "Bearer DUMMY",
        "",
        "REMOVED",
        "Basic *****",
    ],
)
def test_masked_key_tells_nothing(masked: str) -> None:
    """
    What a tool wrote in the place of a key is no key, and its absence elsewhere is none that a server must refuse.
    """
    header: dict[str, Any] = {"key": None, "headers": {"Authorization": masked}}
    recording = read_har(
        status_read("ready", 0.0, **header), refused(1.0, **header), status_read("ready", 2.0, key=None)
    )

    assert credentials(recording) == ["primary", "primary"]
    assert recording.left_out == {UNTOLD: 1}


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        (f"bearer {KEY}", "lowercase-scheme"),
        (f"BEARER {KEY}", "lowercase-scheme"),
        (f"bearer {WRONG_KEY}", "malformed"),
        ("Basic dXNlcjpwYXNzd29yZA==", "malformed"),
        (f"Token {KEY}", "malformed"),
        ("Bearer", "malformed"),
        (KEY, "malformed"),
    ],
)
def test_header_in_another_form_is_recognised(header: str, credential: str) -> None:
    """The scheme may be written in any case in front of a key that is accepted, and another scheme carries none."""
    status, answer = (200, {}) if credential == "lowercase-scheme" else (401, {"error": "Invalid API key."})
    odd = Seen(at=1.0, key=None, headers={"authorization": header}, status=status, answer=answer)

    recording = read_har(status_read("ready", 0.0), odd)

    assert credentials(recording) == ["primary", credential]
    assert recording.terms.keys == ("primary",)


def test_key_in_the_query_alone_is_seen_where_keys_are_shown() -> None:
    """A key in the query is one that a server must refuse, unless the file shows no headers with keys at all."""
    asked = Seen(at=1.0, key=None, path=f"{BUILD}?api_key={KEY}", status=401, answer={"error": "Missing API key."})

    shown = read_har(status_read("ready", 0.0), asked)
    sanitized = read_har(status_read("ready", 0.0, key=None), asked)

    assert credentials(shown) == ["primary", "query"]
    assert shown.exchanges[1].request.url.endswith(f"{BUILD}?api_key=<key:primary>")
    assert (credentials(sanitized), sanitized.left_out) == (["primary"], {UNTOLD: 1})
    assert KEY not in str(sanitized)


@pytest.mark.parametrize(
    "other_way",
    [
        {"headers": {"Cookie": "session=abcdefghijklmnopqrstuvwxyz"}},
        {"headers": {"X-API-Key": "abcdefghijklmnopqrstuvwxyz"}},
        {"path": f"{BUILD}?access_token=abcdefghijklmnopqrstuvwxyz"},
        {"request": {"headersSize": -1}},
    ],
)
def test_request_that_something_else_lets_in_is_not_without_a_key(other_way: dict[str, Any]) -> None:
    """A server that serves a session of a browser has not served a request without a key."""
    recording = read_har(status_read("ready", 0.0), status_read("ready", 1.0, key=None, **other_way))

    assert credentials(recording) == ["primary", "primary"]
    assert found(recording) == set()
    assert "abcdefghijklmnopqrstuvwxyz" not in str(recording)


def test_request_without_a_key_that_is_served_is_found() -> None:
    """A file that shows keys elsewhere shows that there was none."""
    assert found(read_har(status_read("ready", 0.0), status_read("ready", 1.0, key=None))) == {
        "auth.missing-key-is-401"
    }


def test_session_that_is_over_is_no_unknown_key() -> None:
    """A page whose session has expired is told so, in other words than somebody with a wrong key."""
    recording = read_har(status_read("ready", 0.0), refused(1.0, "Your session has expired.", key=SESSION))

    assert (credentials(recording), recording.left_out) == (["primary"], {UNTOLD: 1})


def test_key_may_have_been_made_or_taken_back_meanwhile() -> None:
    """An accepted key that is refused before its first use or after its last one says nothing; in between it does."""
    recording = read_har(
        refused(0.0, "Invalid API key."),
        status_read("ready", 1.0),
        refused(2.0, "Invalid API key."),
        status_read("ready", 3.0),
        refused(4.0, "Invalid API key."),
    )

    assert [exchange.status for exchange in recording.exchanges] == [200, 401, 200]
    assert recording.left_out == {LAPSED: 2}
    assert found(recording) == {"auth.valid-key-is-accepted"}


def test_no_key_and_no_cookie_is_kept() -> None:
    """Keys are markers with the names of their accounts wherever they stood, cookies are gone, and so is the rest."""
    cookie = {"Cookie": "a=b; session=0123456789abcdef0123", ":authority": "www.orgo.test", "User-Agent": "Browser"}
    recording = read_har(
        status_read("ready", 0.0, headers=cookie),
        publish(1.0, posted=f'{{"template": {{"name": "hello", "version": "1.0.0"}}, "env": "{KEY}"}}'),
        log(2.0, text=f'data: {{"line": "{OTHER_KEY} and 0123456789abcdef0123"}}\n\n'),
        other_read(3.0),
        refused(4.0, f"Invalid API key. {WRONG_KEY}", key=WRONG_KEY),
        refused(5.0, path=f"{PATH}?next={KEY}", key="sk_live_another_0123456789"),
        refused(6.0, key=None, headers={"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}),
        accounts=ACCOUNTS,
    )

    told = str([asdict(exchange) for exchange in recording.exchanges])

    assert "<redacted> and <redacted>" in told
    for secret in (KEY, OTHER_KEY, WRONG_KEY, "0123456789abcdef0123", "another_0123456789", "dXNlcjpwYXNzd29yZA"):
        assert secret not in told
    assert leaks.leaks(told, {}) == ()
    headers = [dict(exchange.request.headers).get("Authorization") for exchange in recording.exchanges]
    assert headers[0] == "Bearer <key:primary>"
    assert headers[3:6] == ["Bearer <key:second>", "Bearer <key:unknown-1>", "Bearer <key:unknown-2>"]
    names = {name.lower() for exchange in recording.exchanges for name, _ in exchange.request.headers}
    assert names <= {"authorization", "content-type"}


def test_word_in_the_place_of_a_key_is_no_secret() -> None:
    """A page that sends undefined in the place of its key does not make that word a key in every answer."""
    recording = read_har(
        status_read("ready", 0.0), refused(1.0, "Invalid API key: undefined or out of date.", key="undefined")
    )

    assert credentials(recording) == ["primary", "unknown"]
    assert found(recording) == set()


def test_key_in_a_document_is_none_that_an_answer_repeats() -> None:
    """What a user wrote into a document, or had a build print, is taken out without a word about whose key it was."""
    document = {"api_version": "orgo.ai/v1", "template": {"name": "hello", "version": "1.0.0"}, "env": {"KEY": KEY}}
    answer = {"ref": "default/hello@1.0.0", "digest": "ab" * 32, "template": document}
    told = {"ts": "2026-03-14T09:00:02Z", "level": "info", "phase": "install", "line": KEY}

    recording = read_har(Seen(path=PATH, answer=answer), log(1.0, text=frame(told).decode() + log_text("ready")))

    assert found(recording) == set()
    assert KEY not in str(recording)


def test_key_in_an_error_is_found() -> None:
    """An error that repeats the key which was sent is a finding."""
    assert found(read_har(status_read("ready", 0.0), refused(1.0, f"Invalid API key: {WRONG_KEY}", key=WRONG_KEY))) == {
        "error.does-not-repeat-the-key"
    }
