"""Readings of what answers hold: fields of the build object, error bodies, texts."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.variants.variant import permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal
from touchstone.twin.app import answer_json
from touchstone.twin.build import Build
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.engine import Body
from touchstone.twin.settings import Account


@permitted(6)
class FreshStartSaysReusedFalse(Engine):
    """The answer to a start that begins a build says reused false."""

    def building_body(self, version: Version) -> Body:
        """The usual answer and the flag."""
        return {**super().building_body(version), "reused": False}


@permitted(6, 9)
class ReadsLeaveOutReused(Engine):
    """A status read does not mention reused."""

    def status_body(self, version: Version) -> Body:
        """The usual answer without the flag."""
        body = super().status_body(version)
        body.pop("reused", None)
        return body


@permitted(7)
class ReadsRememberTheReuse(Engine):
    """After a reuse the status reads say reused true, too."""

    def __init__(self, *arguments: Any) -> None:
        self.reused: set[tuple[str, Ref, Build]] = set()
        super().__init__(*arguments)

    def reused_body(self, version: Version, golden: Build) -> Body:
        """The usual answer, taken note of."""
        self.reused.add((version.owner, version.ref, golden))
        return super().reused_body(version, golden)

    def status_body(self, version: Version) -> Body:
        """The usual answer with the flag of the last start."""
        body = super().status_body(version)
        golden = self.slot_of(version).golden if body["status"] == "ready" else None
        return body | {"reused": (version.owner, version.ref, golden) in self.reused} if golden else body


@permitted(8)
class GoldenDirIsShown(Engine):
    """A built version tells the directory of its golden."""

    def status_body(self, version: Version) -> Body:
        """The usual answer with the directory."""
        body = super().status_body(version)
        return body | self.place_of(version) if body["status"] == "ready" else body

    def reused_body(self, version: Version, golden: Build) -> Body:
        """The usual answer with the directory."""
        return super().reused_body(version, golden) | self.place_of(version)

    def place_of(self, version: Version) -> Body:
        """Where the golden lies."""
        return {"golden_dir": f"/var/lib/goldens/{version.digest[-16:]}"}


@permitted(5)
class ReuseAnswers200(App):
    """A start that reuses a golden is answered with 200."""

    def start_build(self, account: Account, version: Version) -> Response:
        """Starts, and tells what is done from what is under way."""
        response = super().start_build(account, version)
        response.status_code = 200 if parsed(response)["status"] == "ready" else response.status_code
        return response


@permitted(34)
class FailureLooksLikeAnError(Engine):
    """The status of a failed build has the fields of an API error beside its own."""

    def status_body(self, version: Version) -> Body:
        """The usual answer; a failed one with code and request_id."""
        body = super().status_body(version)
        if body["status"] == "failed":
            body |= {"code": "BUILD_FAILED", "request_id": "5b0cf8a4-7a3e-4d0c-9b1c-6a1f0f6f2b77"}
        return body


@permitted(source="build#response (an object whose fields are listed, none of them said to be the last)")
class MoreFieldsThanDocumented(App):
    """Every JSON object holds fields that nobody documented."""

    async def operate(self, request: Request, account: Account, resource: Any) -> Response:
        """The usual answer with more in it."""
        response = await super().operate(request, account, resource)
        if response.media_type != "application/json":
            return response
        return answer_json(response.status_code, with_more(response))

    def refused(self, refusal: Refusal) -> Response:
        """The usual error with more in it."""
        response = super().refused(refusal)
        return answer_json(refusal.status, with_more(response), refusal.headers)


@permitted(16, 17)
class ErrorsHoldErrorAlone(App):
    """An error has no request_id and no code."""

    def refused(self, refusal: Refusal) -> Response:
        """The text, and the list of what is wrong with a document."""
        body = {key: value for key, value in refusal.body.items() if key in ("error", "errors")}
        return answer_json(refusal.status, body, refusal.headers)


@permitted(16)
class EveryErrorHasACode(App):
    """The second stable field is code: every error has one."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error with a code."""
        body = {"code": f"E{refusal.status}", **refusal.body, "request_id": self._request_ids.next()}
        return answer_json(refusal.status, body, refusal.headers)


@permitted(17)
class RequestIdsOfAnyLength(App):
    """The id of a request is a number, which is longer with some requests than with others."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error with another id."""
        number = int(self._request_ids.next().replace("-", ""), 16)
        return answer_json(
            refusal.status, {**refusal.body, "request_id": f"{number % 10 ** (1 + number % 7)}"}, refusal.headers
        )


@permitted(17)
class RequestIdInAHeaderOnly(App):
    """The id of a request is in a header and in no body."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error with its id elsewhere."""
        headers = {**refusal.headers, "X-Request-Id": self._request_ids.next()}
        return answer_json(refusal.status, refusal.body, headers)


@permitted(39)
class InvalidDocumentListsErrorsOnly(App):
    """The answer to an invalid document lists its errors and has no text of its own."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error; of an invalid document only the list."""
        if "errors" in refusal.body:
            del refusal.body["error"]
        return super().refused(refusal)


def with_more(response: Response) -> dict[str, Any]:
    """The JSON object of an answer with undocumented fields of several kinds."""
    body = parsed(response)
    return {**body, "api_revision": 7, "links": {"self": "/api"}, "hints": [], "note": None}


def parsed(response: Response) -> dict[str, Any]:
    """The JSON object of an answer."""
    return dict(json.loads(bytes(response.body)))
