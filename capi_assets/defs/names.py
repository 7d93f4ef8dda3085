"""Keys and names in Dagster that follow `CAPI_KEY_PREFIX` and `CAPI_GROUP`.

Two instances in one code location, or one beside a team's own assets, share no asset key, name,
group or resource key. Tables of the lake have no prefix: each instance has a lake of its own.
"""

from __future__ import annotations

import dagster as dg

from capi_assets.settings import Settings

HOURLY_ASSETS = ("visits", "orders", "matched_events", "delivery_results", "attribution_health")


def asset_key(settings: Settings, asset: str) -> dg.AssetKey:
    """The key of one of our assets, such as `visits`."""
    return dg.AssetKey([*settings.prefix_parts, asset])


def group_name(settings: Settings, part: str = "") -> str:
    """The group of the hourly assets, or with `part` one that is listed next to it."""
    group = settings.group or settings.prefixed("conversions")
    return f"{group}_{part}" if part else group


def resource_key(settings: Settings, resource: str) -> str:
    """The key of the resource `clock` or `duckdb`: `capi_clock`, and not a team's own `clock`."""
    return settings.prefixed(f"capi_{resource}")
