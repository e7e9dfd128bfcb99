"""Faults of errors: their shape, their fields, and what they give away."""

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.settings import Account

# --- shape -------------------------------------------------------------------------------------------------------


class Tells(App):
    """Errors of some statuses are told in another way."""

    statuses: frozenset[int] = frozenset({404})

    def tell(self, refusal: Refusal) -> Response:
        """The answer to one of them."""
        raise NotImplementedError

    def refused(self, refusal: Refusal) -> Response:
        return self.tell(refusal) if refusal.status in self.statuses else super().refused(refusal)


@breaks("schema", "error.has-the-documented-shape", also=("http.json-media-type",))
class NotFoundIsText(Tells):
    """A 404 is plain text."""

    def tell(self, refusal: Refusal) -> Response:
        return Response("not found", 404, media_type="text/plain")


@breaks("schema", "error.has-the-documented-shape")
class ConflictSaysMessage(Tells):
    """A 409 says ``message`` where an error says ``error``."""

    statuses = frozenset({409})

    def tell(self, refusal: Refusal) -> Response:
        return answer_json(409, {"message": refusal.body["error"], "statusCode": 409})


@breaks("schema", "error.has-the-documented-shape")
class BadRequestIsAList(Tells):
    """A 400 is a list of texts."""

    statuses = frozenset({400})

    def tell(self, refusal: Refusal) -> Response:
        return Response(b'["' + refusal.body["error"].replace('"', "'").encode() + b'"]', 400, None, "application/json")


@breaks("schema", "error.has-the-documented-shape")
class ErrorIsAnObject(Tells):
    """The error of a 404 is an object with a code."""

    def tell(self, refusal: Refusal) -> Response:
        return answer_json(404, {"error": {"code": "NOT_FOUND", "message": refusal.body["error"]}})


# --- fields ------------------------------------------------------------------------------------------------------


@breaks("schema", "error.request-id-is-a-string", also=("error.has-the-documented-shape",))
class RequestIdIsANumber(App):
    """The request id of an error counts up."""

    served = 0

    def refused(self, refusal: Refusal) -> Response:
        self.served += 1
        return answer_json(refusal.status, {**refusal.body, "request_id": self.served}, refusal.headers)


@breaks("schema", "error.has-no-upstream-status")
class NotFoundHasUpstreamStatus(Tells):
    """A 404 tells which status the builder gave."""

    def tell(self, refusal: Refusal) -> Response:
        return answer_json(404, {**refusal.body, "upstream_status": 404})


@breaks("schema", "error.has-no-upstream-status")
class IdleHasUpstreamStatus(App):
    """A cancel with nothing to cancel tells which status the builder gave."""

    def cancel_build(self, version: Version) -> Response:
        response = super().cancel_build(version)
        if response.status_code == 404:
            return answer_json(404, {"status": "idle", "upstream_status": 409})
        return response


# --- what is given away ------------------------------------------------------------------------------------------


@breaks("security", "error.does-not-repeat-the-key")
class ErrorRepeatsTheKey(Engine):
    """The error for an unknown key quotes it."""

    def account_of(self, authorization: list[str]) -> Account:
        try:
            return super().account_of(authorization)
        except Refusal as refusal:
            refusal.body["error"] += f" Got {authorization[0]}." if authorization else ""
            raise


@breaks("security", "error.does-not-repeat-the-key")
class KeyIsEchoedInAHeader(App):
    """Every answer repeats in a header who asked."""

    async def answer(self, request: Request) -> Response:
        response = await super().answer(request)
        response.headers["x-authenticated-as"] = request.headers["authorization"]
        return response


@breaks("security", "error.does-not-repeat-the-key")
class DocumentShowsItsOwner(Engine):
    """A document is shown with the key that published it."""

    def template_body(self, version: Version) -> Body:
        return {**super().template_body(version), "owner": version.owner}


class Traces(Tells):
    """Errors of some statuses show where in the server they were raised."""

    trace = ""

    def tell(self, refusal: Refusal) -> Response:
        refusal.body["error"] += "\n" + self.trace
        return super(Tells, self).refused(refusal)


@breaks("security", "error.shows-no-internals")
class NotFoundShowsTheStack(Traces):
    """A 404 shows where in the server it was raised."""

    trace = 'Traceback (most recent call last):\n  File "app.py", line 12, in get'
