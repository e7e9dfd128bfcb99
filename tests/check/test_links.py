"""Links of the contract lead from each response to further requests."""

import json

import pytest

from contract_tests.links import PATH_PARAMETERS, links
from tests.rules.exchanges import REF, contract, exchange
from touchstone.check.templates import Template, publish_call

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
