"""
Servers that take many freedoms at once.
"""

from touchstone.twin.limits import RateLimit
from touchstone.twin.variants import bodies, builds, cancels, limits, logs, shelf, who, wire
from touchstone.twin.variants.variant import Variant, enter


class BareEngine(
    bodies.ReadsLeaveOutReused,
    logs.LateFollowerHearsWhatComes,
    cancels.SecondCancelFindsNothing,
    shelf.DigestHasAPrefix,
):
    """
    Tells no more than it must.
    """


class BareApp(
    bodies.ErrorsHoldErrorAlone, bodies.ReuseAnswers200, who.RefusalsOfKeysAreShort, who.PlanGatesEveryOperation
):
    """
    Tells no more than it must.
    """


class LavishEngine(
    bodies.GoldenDirIsShown,
    bodies.FreshStartSaysReusedFalse,
    bodies.FailureLooksLikeAnError,
    bodies.ReadsRememberTheReuse,
):
    """
    Tells all that it may.
    """


class LavishApp(bodies.MoreFieldsThanDocumented, bodies.EveryErrorHasACode, cancels.IdleHasAnError):
    """
    Tells all that it may.
    """


class StrictEngine(
    builds.StartWhileSettlingIs409,
    shelf.ForceWhileBuildingIs409,
    cancels.CancelledReadsFailed,
    logs.LogIsGoneAfterTheBuild,
):
    """
    Takes every conflict for one.
    """


class StrictApp(shelf.OddSpellingIs400, who.VersionIsLookedForFirst, shelf.RepublishIs200, shelf.AutoBuildRefusedIs429):
    """
    Takes every conflict for one.
    """


enter(
    Variant(
        name="combined-bare",
        says="All that is optional is left out: fields, codes, ids, earlier lines, Retry-After.",
        answers=(1, 5, 6, 9, 13, 16, 17, 18, 22, 23, 27),
        source="facts 7",
        engine=BareEngine,
        app=BareApp,
        pace={"retry_after": "none"},
    )
)
enter(
    Variant(
        name="combined-lavish",
        says="All that is optional is there, and more: fields, codes, ids, headers, parameters of media types.",
        answers=(6, 7, 8, 15, 16, 34),
        source="facts 7",
        engine=LavishEngine,
        app=LavishApp,
        wrap=lambda asgi_app: wire.more_headers(wire.media_types_with_charset(asgi_app)),
    )
)
enter(
    Variant(
        name="combined-strict",
        says="What can be a conflict or a bad request is one, and a cancelled build has failed.",
        answers=(10, 12, 21, 25, 36, 40, 42, 46),
        source="facts 7",
        engine=StrictEngine,
        app=StrictApp,
    )
)
enter(
    Variant(
        name="combined-proxy",
        says="A proxy stands before it: further away, in pieces, compressed, in capitals, each connection closed.",
        source="RFC 9110, RFC 9112",
        engine=logs.speaking(logs.Terse, "A log with a character of several bytes."),
        wrap=lambda asgi_app: wire.header_names_in_capitals(
            wire.connections_are_closed(wire.answers_are_compressed(wire.log_in_small_pieces(asgi_app)))
        ),
        pace={"latency_s": 0.01},
    )
)
enter(
    Variant(
        name="combined-busy",
        says="A host with room for two slow builds and a sliding rate that refused starts count against, far away.",
        answers=(23, 24),
        source="facts 7.23, 7.24, api-intro#rate-limits",
        engine=type("BusyEngine", (limits.RefusedStartsCount, limits.LimitsSoundAlike), {}),
        pace={
            "rate": RateLimit.parse("sliding-log:12/1"),
            "capacity": 2,
            "build_s": 0.3,
            "settle_s": 0.3,
            "latency_s": 0.005,
            "retry_after": "date",
        },
    )
)
