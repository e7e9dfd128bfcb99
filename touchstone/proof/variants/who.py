"""Readings of who is let in and what those are told who are not: keys, plans, accounts, curated versions."""

from starlette.requests import Request
from starlette.responses import Response

from touchstone.proof.variants.variant import permitted
from touchstone.twin import App, Engine
from touchstone.twin.answers import Refusal, no_such_version
from touchstone.twin.catalog import Ref, Version
from touchstone.twin.paths import Resource
from touchstone.twin.settings import Account

MISSING, INVALID = "Missing API key", "Invalid API key"


@permitted(18)
class RefusalsOfKeysAreShort(App):
    """The text of a 401 is what both pages have in common, without a full stop."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error; of a 401 only the beginning of its text."""
        if refusal.status == 401:
            refusal.body["error"] = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
        return super().refused(refusal)


@permitted(18, 50)
class RefusalsTellWhereKeysComeFrom(App):
    """The text of a 401 tells where to get a key, and there is no WWW-Authenticate."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error; a 401 with advice."""
        if refusal.status == 401:
            text = MISSING if refusal.body["error"].startswith(MISSING) else INVALID
            refusal.body["error"] = f"{text}. Keys are made and listed at /workspaces."
            refusal.headers.clear()
        return super().refused(refusal)


@permitted(19)
class MalformedHeaderIsNoKey(Engine):
    """An Authorization header that carries no bearer key counts as none."""

    def account_of(self, authorization: list[str]) -> Account:
        """The usual account; what is no single bearer token is not looked at."""
        scheme, _, token = authorization[0].partition(" ") if authorization else ("", "", "")
        fits = len(authorization) == 1 and self.is_bearer(scheme) and token.strip(" ")
        return super().account_of(authorization if fits else [])


@permitted(20)
class PlanRefusalHasNoCode(App):
    """The 403 for a plan that is too small is a text and nothing else."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error; a 403 without a code."""
        if refusal.status == 403:
            refusal.body = {"error": "Your plan does not include this. Upgrade to Scale or higher."}
        return super().refused(refusal)


@permitted(21)
class VersionIsLookedForFirst(App):
    """An account below the plan that starts a version which it does not have hears 404."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        """Looks for the version before anything else."""
        if resource.kind != "templates":
            self.engine.require(account, resource.ref)
        return await super().operate(request, account, resource)


@permitted(22)
class PlanGatesEveryOperation(App):
    """An account below the plan is answered 403 whatever it asks for."""

    async def operate(self, request: Request, account: Account, resource: Resource) -> Response:
        """Looks at the plan before anything else."""
        self.engine.require_plan(account, "Using")
        return await super().operate(request, account, resource)


@permitted(44)
class CuratedIsHidden(Engine):
    """Who starts, cancels or deletes a curated version hears that it does not exist."""

    def require_own(self, version: Version) -> None:
        """Refuses with 404."""
        if version.curated:
            raise no_such_version()


@permitted(44)
class CuratedIsNotAllowed(Engine):
    """Curated versions do not have the methods that start, cancel or delete."""

    def require_own(self, version: Version) -> None:
        """Refuses with 405."""
        if version.curated:
            raise Refusal(405, "Curated versions cannot be changed.", {"Allow": "GET, HEAD"})


@permitted(44)
class CuratedIsInConflict(Engine):
    """Who starts, cancels or deletes a curated version hears that its state does not allow it."""

    def require_own(self, version: Version) -> None:
        """Refuses with 409."""
        if version.curated:
            raise Refusal(409, "Curated versions are always built.")


@permitted(47)
class CuratedNeedsAPlan(Engine):
    """An account below the plan finds no curated version."""

    def find(self, account: Account, ref: Ref) -> Version | None:
        """The usual version, unless it is curated and the plan is too small."""
        version = super().find(account, ref)
        return None if version is not None and version.curated and not self.may_build(account) else version


@permitted(source="api-intro#statuses (404 and 405 without an order between them)")
class UnknownMethodIsNotFound(App):
    """A method that a path does not have is answered like a path that does not exist."""

    def refused(self, refusal: Refusal) -> Response:
        """The usual error; 404 in the place of 405."""
        if refusal.status == 405:
            refusal = Refusal(404, "No such path.")
        return super().refused(refusal)
