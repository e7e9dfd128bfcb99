"""The twin that a run starts itself, and what a run may expect of it."""

import dataclasses

from touchstone.config import Settings
from touchstone.twin import DEFAULT_ACCOUNTS, RateLimit, TwinSettings

# Limits wide enough not to slow a check down and tight enough to be met, one digest for equal content.
EMBEDDED_TWIN = TwinSettings(
    build_s=0.05, settle_s=0.04, rate=RateLimit.parse("60/1"), capacity=4, digest_scope="content"
)
# What recordings are made of by default: limits that few starts and builds meet, answers that repeat, and a latency
# that makes requests overlap which are sent at the same moment.
RECORDED_TWIN = TwinSettings(
    build_s=0.05,
    settle_s=0.2,
    rate=RateLimit.parse("10/1"),
    capacity=2,
    latency_s=0.005,
    digest_scope="content",
    seed=1,
)
# Limits that a storm meets, and the greedy key of two, while a modest client does not.
LOAD_TWIN = TwinSettings(build_s=0.05, settle_s=0.04, rate=RateLimit.parse("12/1"), capacity=4, digest_scope="content")
BUILD_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 3.0
RESTRICTED_REF = "default/legacy-demo@1.0.0"


def at_twin(settings: Settings, url: str) -> Settings:
    """Settings of a run against a twin that listens at *url*: its keys, its version below the plan, less patience."""
    keys = {account.name: account.key for account in DEFAULT_ACCOUNTS}
    target = dataclasses.replace(
        settings.target,
        url=url,
        api_key=keys["primary"],
        second_api_key=keys["second"],
        restricted_api_key=keys["restricted"],
        build_timeout_s=min(settings.target.build_timeout_s, BUILD_TIMEOUT_S),
        cancel_timeout_s=min(settings.target.cancel_timeout_s, CANCEL_TIMEOUT_S),
        templates=dataclasses.replace(settings.target.templates, restricted=(RESTRICTED_REF,)),
    )
    return dataclasses.replace(settings, target=target)
