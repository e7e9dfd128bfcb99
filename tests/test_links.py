"""The links of the contract."""

import json
from typing import Any

import pytest

from contract_tests.links import PATH_PARAMETERS, Link, links
from tests.rules.exchanges import REF, contract, exchange
from touchstone.check.templates import Template, publish_call
from touchstone.errors import ContractError
from touchstone.facts.exchange import Exchange

TEMPLATE = Template("touchstone-t1-hello", "1.0.0", 0.0, False, "mark")


def published(*, wrapped: bool = False) -> Exchange:
    body = publish_call(TEMPLATE, wrapped=wrapped).body
    return exchange("publishTemplate", 201, ref=None, request_body=body)


def link(**parameters: str) -> Link:
    return Link("it", "getBuild", {"namespace": "default", "name": "a", "version": "1.0.0"} | parameters)


def test_start_leads_to_the_other_three_operations() -> None:
    """From either answer to a start the contract leads to reading, cancelling and following the build."""
    for status in (200, 202):
        found = links(contract().document, "startBuild", status)
        assert {"getBuild", "cancelBuild", "streamBuildEvents"} <= {each.operation for each in found}


def test_links_are_in_the_order_of_their_names() -> None:
    """The order of links depends on nothing but their names."""
    names = [each.name for each in links(contract().document, "publishTemplate", 201)]

    assert names == sorted(names)
    assert names


@pytest.mark.parametrize(("operation", "status"), [("startBuild", 404), ("startBuild", 299), ("unknown", 200)])
def test_answer_without_links_leads_nowhere(operation: str, status: int) -> None:
    """An answer that the contract does not link from has no links."""
    assert links(contract().document, operation, status) == ()


@pytest.mark.parametrize("operation", ["publishTemplate", "startBuild", "getBuild", "cancelBuild"])
def test_every_link_of_the_contract_leads_to_the_version(operation: str) -> None:
    """Whatever the contract links to is an operation of its own, and about the version that the request was about."""
    from_here = published() if operation == "publishTemplate" else exchange(operation)
    found = [each for status in range(200, 300) for each in links(contract().document, operation, status)]

    assert {each.ref(from_here) for each in found} <= {REF}
    assert {each.operation for each in found} <= contract().operations.keys()
    assert all(set(PATH_PARAMETERS) <= each.parameters.keys() for each in found)


@pytest.mark.parametrize("wrapped", [False, True])
def test_body_expression_reads_the_document(wrapped: bool) -> None:
    """A pointer into the body finds the document, also where the target wants it in an envelope."""
    parameters = {"name": "$request.body#/template/name", "version": "$request.body#/template/version"}

    assert link(**parameters).ref(published(wrapped=wrapped)) == REF


@pytest.mark.parametrize(
    ("expression", "body", "ref"),
    [
        ("$request.path.owner", b"", REF),
        ("$request.path.name", b"", None),
        ("$request.body#/template/label", json.dumps(TEMPLATE.document()).encode(), None),
        ("$request.body#/template/name", b"template: {name: a}", None),
        ("$request.body#/template/name/first", json.dumps(TEMPLATE.document()).encode(), None),
        ("$response.body#/name", b"", REF),
        ("$url", b"", REF),
    ],
)
def test_expression_that_leads_nowhere_is_an_error(expression: str, body: bytes, ref: Any) -> None:
    """An expression that finds nothing, or is of a kind that the contract does not use, is the contract's fault."""
    with pytest.raises(ContractError) as raised:
        link(name=expression).ref(exchange("publishTemplate", 201, ref=ref, request_body=body))
    assert f"links: {expression!r}" in str(raised.value)
