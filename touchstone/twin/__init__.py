"""The twin, a complete server of the API. It shares no code with the rules that judge responses."""

from touchstone.twin.app import App
from touchstone.twin.engine import Engine
from touchstone.twin.limits import RateLimit
from touchstone.twin.serve import Twin, serve_forever
from touchstone.twin.settings import DEFAULT_ACCOUNTS, Account, TwinSettings

__all__ = ["DEFAULT_ACCOUNTS", "Account", "App", "Engine", "RateLimit", "Twin", "TwinSettings", "serve_forever"]
