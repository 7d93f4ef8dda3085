"""Included by a Celery worker: claims of killed runs lapse soon, so that a test need not wait."""

from dataclasses import replace
from datetime import timedelta

from capi_assets import policies
from capi_assets.delivery.policy import Policy
from capi_assets.settings import Settings

SECONDS = 15

_default = policies.delivery_policy


def _policy(settings: Settings) -> Policy:
    return replace(_default(settings), lease=timedelta(seconds=SECONDS))


policies.delivery_policy = _policy
