"""Nothing that a run writes or says holds a key of its own, wherever a key gets in."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import respx

from touchstone.config import Flags, keys_in, load
from touchstone.contract.document import Contract
from touchstone.errors import UsageError
from touchstone.facts.exchange import Exchange
from touchstone.target.bounds import KEPT_BYTES, Bounds
from touchstone.target.call import Call, Keys
from touchstone.target.transport import Transport

URL = "http://127.0.0.1:8123/base/api"
KEYS = Keys("sk_live_0123456789/abc+def", "sk_live_second_account_key", "sk_live_restricted_account")
REF = "default/demo@1.0.0"


# --- bodies that are cut ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left_bytes", [1, 9, 17, len(KEYS.primary) - 1])
@pytest.mark.parametrize("bound", ["max_body_bytes", "max_total_bytes", "max_json_depth"])
def test_key_across_the_end_of_what_is_kept_is_marked(left_bytes: int, bound: str) -> None:
    """Secrets are marked before a body is cut: what is left of a key there would be most of it."""
    bounds = Bounds(**{bound: 40 if bound == "max_json_depth" else KEPT_BYTES + 20_000})
    opening = b"[" * 9 + b'"'
    body = opening + b"x" * (KEPT_BYTES - len(opening) - left_bytes) + KEYS.primary.encode() + b'"' + b"[" * 300_000
    seen: list[Exchange] = []
    transport = Transport(URL, KEYS, Contract.load(), seen.append, bounds=bounds)
    pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    with respx.mock() as router:
        router.get(url__startswith=URL).mock(return_value=httpx.Response(200, content=pieces))
        transport.send(Call("getBuild", REF))
    transport.close()
    (response,) = (exchange.response for exchange in seen)
    assert response
    assert len(response.body) == KEPT_BYTES
    assert KEYS.primary[: min(left_bytes, 4)].encode() not in response.body[10:]


@pytest.mark.parametrize("sent", [10, 17, 25])
def test_key_that_a_server_breaks_off_in_is_marked(sent: int) -> None:
    """Where an answer ends in the middle of a key, the beginning of it is not kept."""

    def pieces() -> Iterator[bytes]:
        yield b"key " + KEYS.primary[:sent].encode()
        raise httpx.ReadError("gone")

    seen: list[Exchange] = []
    transport = Transport(URL, KEYS, Contract.load(), seen.append)
    with respx.mock() as router:
        router.get(url__startswith=URL).mock(return_value=httpx.Response(200, content=pieces()))
        transport.send(Call("getBuild", REF))
    transport.close()
    (response,) = (exchange.response for exchange in seen)
    assert response
    assert response.body == b"key <key:primary>"


# --- keys that are none, and keys in a URL ---------------------------------------------------------------------------

ROLES = ("ORGO_API_KEY", "ORGO_SECOND_API_KEY", "ORGO_RESTRICTED_API_KEY")
GOOD = "sk_live_Ab12Cd34Ef56"


def contract_words() -> set[str]:
    """Names of properties and values of enumerations in the contract, as long as a key may be."""

    def within(value: object, *, names: bool = False) -> Iterator[str]:
        if isinstance(value, list):
            for inner in value:
                yield from within(inner)
        if isinstance(value, dict):
            yield from (key for key in value if names)
            yield from (str(one) for one in value.get("enum", ()) if not names)
            for key, inner in value.items():
                yield from within(inner, names=key == "properties")

    return {word for word in within(Contract.load().document) if len(word) >= 8 and "/" not in word}


@pytest.mark.parametrize(
    "bad", ["abcdefg", "password", "BUILDING", "xxxxxxxx", "Authorization", *sorted(contract_words())]
)
@pytest.mark.parametrize("role", ROLES)
def test_key_that_other_texts_hold_is_refused(tmp_path: Path, bad: str, role: str) -> None:
    """
    Too short a key, a common word and a placeholder would be marked wherever they are no key; the message shows none.
    """
    environ = dict.fromkeys(ROLES[:1], GOOD) | {role: bad}
    for loaded in (lambda: load(Flags(url="http://h"), environ, tmp_path), lambda: keys_in(environ)):
        with pytest.raises(UsageError) as told:
            loaded()
        assert role in str(told.value)
        assert bad not in str(told.value).replace(role, "")
    (tmp_path / "touchstone.toml").write_text(f'[targets.a]\nurl = "http://h"\napi_key = {json.dumps(bad)}\n')
    with pytest.raises(UsageError) as told:
        load(Flags(target="a"), {}, tmp_path)
    assert bad not in str(told.value).replace("api_key", "")


@pytest.mark.parametrize(
    "url",
    [
        "http://h/{}",
        "http://h/base/{}/api",
        "http://{}.example.test/api",
        "http://{}@h/api",
        "http://user:{}@h/api",
        "http://h/api?key={}",
        "http://h/api#{}",
    ],
)
@pytest.mark.parametrize("written", [GOOD, GOOD.upper(), GOOD.replace("_", "%5F"), GOOD[1:]])
def test_url_with_a_key_in_it_is_refused(tmp_path: Path, url: str, written: str) -> None:
    """A key in the address would be in each request line and each report; the message does not repeat it."""
    url, environ = url.format(written), {"ORGO_API_KEY": f"{GOOD}9z", "ORGO_SECOND_API_KEY": GOOD}
    (tmp_path / "touchstone.toml").write_text(f'[targets.a]\nurl = "{url}"\n')
    for flags, variables in (
        (Flags(url=url), {}),
        (Flags(), {"ORGO_BASE_URL": url}),
        (Flags(target="a"), {}),
    ):
        for keys in (environ, {}):
            with pytest.raises(UsageError) as told:
                load(flags, keys | variables, tmp_path)
            assert written.lower() not in str(told.value).lower()
