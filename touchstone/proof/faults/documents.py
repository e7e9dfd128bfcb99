"""Faults of documents: which are refused and how, how one is read, and how one is deleted."""

import dataclasses

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.faults.fault import breaks
from touchstone.twin.answers import Refusal
from touchstone.twin.app import App, answer_json
from touchstone.twin.catalog import Version
from touchstone.twin.engine import Body, Engine
from touchstone.twin.settings import Account

# --- wrong documents ---------------------------------------------------------------------------------------------


class Refuses(App):
    """Some refusals of documents are told in another way."""

    def tell(self, refusal: Refusal) -> Refusal:
        """The refusal instead."""
        raise NotImplementedError

    async def publish(self, request: Request, account: Account) -> Response:
        try:
            return await super().publish(request, account)
        except Refusal as refusal:
            raise self.tell(refusal) from None


@breaks("semantic", "publish.empty-is-400", also=("publish.body-is-documented",))
class EmptyIsPublished(App):
    """An empty document is published as nothing."""

    async def publish(self, request: Request, account: Account) -> Response:
        try:
            return await super().publish(request, account)
        except Refusal as refusal:
            if "empty" in refusal.body["error"]:
                return answer_json(201, {})
            raise


@breaks("semantic", "publish.unparsable-is-400")
class UnparsableIs422(Refuses):
    """A document that cannot be parsed is called invalid."""

    def tell(self, refusal: Refusal) -> Refusal:
        if refusal.status == 400 and "empty" not in refusal.body["error"]:
            problem = {"field": "", "code": "syntax", "message": "expected a value"}
            return Refusal(422, "The template is not valid.", errors=[problem])
        return refusal


@breaks("semantic", "publish.invalid-is-422")
class InvalidIs400(Refuses):
    """A document that breaks the schema is answered with 400 and no list."""

    def tell(self, refusal: Refusal) -> Refusal:
        return Refusal(400, "Bad template.") if refusal.status == 422 else refusal


@breaks("schema", "publish.invalid-is-422")
class ProblemsHaveNoCode(Refuses):
    """The list of what is wrong with a document has no codes."""

    def tell(self, refusal: Refusal) -> Refusal:
        for problem in refusal.body.get("errors", []):
            del problem["code"]
        return refusal


# --- reading -----------------------------------------------------------------------------------------------------


@breaks("semantic", "template.read-shows-the-published")
class ReadShowsAnotherRef(Engine):
    """Reading a version shows the ref of its name's latest."""

    def template_body(self, version: Version) -> Body:
        ref = dataclasses.replace(version.ref, version="latest")
        return {**super().template_body(version), "ref": str(ref)}


@breaks("semantic", "template.read-shows-the-published")
class DocumentHasAnotherName(Engine):
    """The document that reading a version shows is called something else."""

    def template_body(self, version: Version) -> Body:
        about = {**version.template["template"], "name": "untitled"}
        return {**super().template_body(version), "template": {**version.template, "template": about}}


@breaks("stateful", "template.read-shows-the-published")
class ReadyDocumentsAreForbidden(App):
    """Once a version is ready, its document is kept from its owner."""

    def get_template(self, version: Version) -> Response:
        if self.engine.status_body(version)["status"] == "ready":
            raise Refusal(403, "Built templates cannot be read.")
        return super().get_template(version)


# --- deleting ----------------------------------------------------------------------------------------------------


@breaks("schema", "template.delete-says-deleted")
class DeletedIsAText(App):
    """Deleting is answered with deleted as a text."""

    def delete_template(self, version: Version) -> Response:
        super().delete_template(version)
        return answer_json(200, {"deleted": "true"})


@breaks("stateful", "template.delete-says-deleted")
class GoldensCannotBeDeleted(App):
    """A version that is ready cannot be deleted."""

    def delete_template(self, version: Version) -> Response:
        if self.engine.status_body(version)["status"] == "ready":
            raise Refusal(403, "Built templates cannot be deleted.")
        return super().delete_template(version)


@breaks("stateful", "template.delete-says-deleted", "lookup.deleted-version-is-404", "start.refuses-deleted-version")
class DeleteDoesNothing(App):
    """Deleting says that nothing was deleted, which is true."""

    def delete_template(self, version: Version) -> Response:
        return answer_json(200, {"deleted": False})
