"""What is unusual about a request, at the edges."""

import pytest

from tests.rules.exchanges import contract, exchange
from touchstone.facts.exchange import Exchange, Request
from touchstone.rules.messages import asks_for_build, excused, path_of, spelling, tidied

PATH = "/templates/default/a/1.0.0/build"
TOO_LONG = {400, 414, 431}


def at(url: str, body: bytes = b"") -> Exchange:
    return Exchange(1, "", None, "primary", "", 0.0, 0.0, 0.0, Request("GET", url, (), body))


@pytest.mark.parametrize(("chars", "excuses"), [(2000, set()), (2001, TOO_LONG)])
def test_long_address_may_be_refused(chars: int, excuses: set[int]) -> None:
    """RFC 9110 4.1 asks for more, but what is in front of a server may not."""
    url = "http://h/" + "a" * chars
    path = "/templates/default/a/1.0.0"

    assert excused(at(url[: chars - len(path)] + path), contract()) == excuses


@pytest.mark.parametrize(("size", "large"), [(529_684, False), (529_685, True)])
def test_large_document_may_be_refused(size: int, large: bool) -> None:
    """One as large as has been taken before may not."""
    headers = {"content-type": "application/yaml"}
    publish = exchange("publishTemplate", request_body=b"x" * size, request_headers=headers)

    assert excused(publish, contract()) == ({413} if large else set())


def test_document_without_a_media_type_may_be_refused() -> None:
    """Nothing says what it is."""
    assert excused(exchange("publishTemplate"), contract()) == {400, 415}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_path_that_servers_take_apart_may_be_redirected(status: int) -> None:
    """To the path that it would be, tidied up; and to no other kind of answer."""
    odd = exchange(path=PATH + "/")

    assert status in excused(odd, contract())
    assert not {304, 309, 300} & excused(odd, contract())


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("a" * 64, "plain"),
        ("a" * 65, "misspelt"),
        ("a" * 255, "misspelt"),
        ("a" * 256, "misshapen"),
        (".", "misshapen"),
        ("..", "misshapen"),
        ("%2e", "misshapen"),
        ("a%0A", "misshapen"),
    ],
)
def test_segment_is_as_long_as_the_contract_allows(name: str, spelt: str) -> None:
    """Longer ones name nothing, and much longer ones, dots and what ends a line may not reach the API."""
    assert spelling(exchange(path=f"/templates/default/{name}/1.0.0/build"), contract()) == spelt


@pytest.mark.parametrize("read", [path_of, tidied])
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h/templates/a/b/1?to=x://y/templates/z", "/templates/a/b/1"),
        ("http://h/templates/a/http://b/1", "/templates/a/http://b/1"),
    ],
)
def test_address_is_taken_apart_at_its_first_marks(read: object, url: str, path: str) -> None:
    """A query, or a path, that looks like an address is a part of this one."""
    assert callable(read)
    assert read(at(url)) == (path.replace("//", "/") if read is tidied else path)


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        (PATH, True),
        (PATH + "/events/", True),
        ("/templates/a%0Ab/build", True),
        ("/templates/a\nb/build", True),
        ("/templates/a/b/1.0.0", False),
        ("/other/build", False),
    ],
)
def test_build_is_asked_for_by_the_end_of_the_path(path: str, asks: bool) -> None:
    """Whatever stands between."""
    assert asks_for_build(exchange(path=path)) is asks
