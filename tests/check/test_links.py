"""Links of the contract lead from each response to further requests."""

import json
from typing import Any

import pytest

from contract_tests.links import PATH_PARAMETERS, Link, links
from tests.rules.exchanges import REF, contract, exchange
from touchstone.check.templates import Template, publish_call
from touchstone.errors import ContractError

TEMPLATE = Template("touchstone-t1-hello", "1.0.0", 0.0, False, "mark")
BODY = json.dumps(TEMPLATE.document()).encode()


@pytest.mark.parametrize("operation", ["publishTemplate", "startBuild", "getBuild", "cancelBuild"])
def test_every_link_leads_on_with_the_version(operation: str) -> None:
    document, answers = contract().document, [exchange(operation)]
    if operation == "publishTemplate":
        bodies = [publish_call(TEMPLATE, wrapped=wrapped).body for wrapped in (False, True)]
        answers = [exchange(operation, 201, ref=None, request_body=body) for body in bodies]
    by_status = {status: links(document, operation, status) for status in range(200, 405)}
    found = [link for each in by_status.values() for link in each]
    assert {link.ref(answer) for link in found for answer in answers} <= {REF}
    assert {link.operation for link in found} <= contract().operations.keys()
    assert all(set(PATH_PARAMETERS) <= link.parameters.keys() for link in found)
    assert all(list(each) == sorted(each, key=lambda link: link.name) for each in by_status.values())
    leads = {"getBuild", "cancelBuild", "streamBuildEvents"} if operation == "startBuild" else set()
    assert all(leads <= {link.operation for link in by_status[status]} for status in (200, 202))
    assert (by_status[404], links(document, "unknown", 200)) == ((), ())


@pytest.mark.parametrize(
    ("expression", "body", "ref"),
    [
        ("$request.path.owner", b"", REF),
        ("$request.path.name", b"", None),
        ("$request.body#/template/label", BODY, None),
        ("$request.body#/template/name", b"template: {name: a}", None),
        ("$request.body#/template/name/first", BODY, None),
        ("$response.body#/name", b"", REF),
        ("$url", b"", REF),
    ],
)
def test_expression_that_leads_nowhere_is_an_error(expression: str, body: bytes, ref: Any) -> None:
    link = Link("it", "getBuild", {"namespace": "default", "name": expression, "version": "1.0.0"})
    with pytest.raises(ContractError) as error:
        link.ref(exchange("publishTemplate", 201, ref=ref, request_body=body))
    assert repr(expression) in str(error.value)
