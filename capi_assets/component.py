"""The component `capi_assets.ConversionsPipeline`: the definitions of one shop from `defs.yaml`.

    type: capi_assets.ConversionsPipeline
    attributes:
      key_prefix: berlin
      env_prefix: BERLIN_
      settings:
        lake: data/berlin/lake

It only resolves attributes; `build_conversions_definitions` makes the definitions. `dg` finds it by
the entry point in pyproject.toml, and shows the descriptions below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, get_args

import dagster as dg
import jinja2
import sqlalchemy as sa
from dagster.components import ResolvedAssetKey
from pydantic import Field, SecretStr, create_model

from capi_assets.definitions import build_conversions_definitions
from capi_assets.settings import PREFIX, SECRETS, Settings, SettingsError, read_settings, variable
from capi_assets.web_addresses import spark_label

_OWN_ATTRIBUTES = ("key_prefix", "group")
# Addresses of databases may be written without a password: `sqlite:///data/berlin/ledger.db`.
_URLS = ("ledger_url", "visits_url", "orders_url")
_TEMPLATES = jinja2.Environment(
    undefined=jinja2.StrictUndefined, finalize=lambda value: "" if value is None else value
)
_FROM_ENVIRONMENT = re.compile(r"\s*\{\{\s*env\b[^{}]*\}\}\s*")


def _yaml_type(annotation: Any) -> Any:
    """What YAML may have for a setting: its type, or a text, which may be a template."""
    types = {annotation, *get_args(annotation)}
    plain = [kind for kind in (bool, int, float) if kind in types]
    times = [date] if datetime in types else []
    union: Any = str | None
    for kind in (*plain, *times):
        union = union | kind
    return union


# The settings as attributes, each with its description: what `dg` documents and checks.
_fields: dict[str, Any] = {
    name: (_yaml_type(field.annotation), Field(default=None, description=field.description))
    for name, field in Settings.model_fields.items()
    if name not in _OWN_ATTRIBUTES
}
SettingsAttributes = create_model("SettingsAttributes", __base__=dg.Model, **_fields)


class _WrittenSecret:
    """In the place of a secret that is written in the file. `build_defs` refuses it: an error while
    attributes are resolved would be shown with the lines of the file."""


def _resolve_settings(context: dg.ResolutionContext, attributes: Any) -> Mapping[str, Any]:
    values: dict[str, Any] = {}
    for name in attributes.model_fields_set:
        written = getattr(attributes, name)
        if name in SECRETS and not _is_public(name, str(written)):
            values[name] = _WrittenSecret()
            continue
        value = _rendered(context, written) if isinstance(written, str) else written
        if value not in ("", None):  # a variable that is not set: the default, as everywhere
            values[name] = SecretStr(str(value)) if name in SECRETS else value
    return values


def _rendered(context: dg.ResolutionContext, template: str) -> str:
    """The text as it is, where Dagster's own way would make a number of a dataset's id."""
    return _TEMPLATES.from_string(template).render(**context.scope)


def _is_public(name: str, written: str) -> bool:
    if _FROM_ENVIRONMENT.fullmatch(written):
        return True
    if name == "engine":
        return written == "duckdb" or (
            written.startswith("sc://") and written == spark_label(written)
        )
    if name not in _URLS:
        return False
    try:
        url = sa.make_url(written)
    except sa.exc.ArgumentError:
        return False
    return url.password is None and not url.query


class ConversionsPipeline(dg.Component, dg.Model, dg.Resolvable):
    """Delivers confirmed conversions to Meta's Conversions API, as hourly assets with checks, jobs,
    schedules and sensors: one shop.

    Visits and orders are read from landing files or by SQL models; the assets that these rows come
    from can be named, so that the lineage is whole. Several shops are several components with
    prefixes of their own.
    """

    key_prefix: Annotated[
        str | None,
        dg.Resolver.default(
            description="Prefix of asset keys, parts separated by /, and of the names of jobs,"
            " schedules and sensors, where it is joined by __. Another one for each shop.",
            examples=["berlin", "shops/berlin"],
        ),
    ] = None
    group: Annotated[
        str | None,
        dg.Resolver.default(
            description="Group of the hourly assets, and start of the names of the two other"
            " groups. `conversions` with the prefix when absent.",
            examples=["ads"],
        ),
    ] = None
    env_prefix: Annotated[
        str,
        dg.Resolver.default(
            description="Start of the environment variables that are read, instead of CAPI_: with"
            " BERLIN_ the token is BERLIN_ACCESS_TOKEN, and $shop of a SQL model BERLIN_SQL_SHOP.",
            examples=["BERLIN_"],
        ),
    ] = PREFIX
    settings: Annotated[
        Mapping[str, Any],
        dg.Resolver(
            _resolve_settings,
            model_field_type=SettingsAttributes,
            description="Settings by their names in lower case, without CAPI_. They replace"
            " environment variables. Each shop needs a lake, ledger_url, erasure_key_file and views"
            " of its own. Secrets only as `{{ env.NAME }}`, or as variables.",
            examples=[{"lake": "data/berlin/lake", "dataset_id": "1234567890123456"}],
        ),
    ] = Field(default_factory=dict)
    visits_upstream: Annotated[
        list[ResolvedAssetKey],
        dg.Resolver.default(
            description="Assets that visits come from, such as a dbt model. Lineage only: the rows"
            " are read as `visits_sql` or `landing` says.",
            examples=[["analytics/visits"]],
        ),
    ] = Field(default_factory=list)
    orders_upstream: Annotated[
        list[ResolvedAssetKey],
        dg.Resolver.default(
            description="Assets that orders come from. Lineage only: the rows are read as"
            " `orders_sql` or `landing` says.",
            examples=[["analytics/orders"]],
        ),
    ] = Field(default_factory=list)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` shows."""
        return dg.ComponentTypeSpec(
            description="Confirmed conversions, delivered to Meta's Conversions API.",
            tags=["meta", "conversions-api"],
            produces=["asset", "asset_check", "job", "schedule", "sensor", "resource"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of this shop.

        Raises:
            SettingsError: a setting is invalid or a written secret; names its variable.
        """
        for name, value in self.settings.items():
            if isinstance(value, _WrittenSecret):
                raise SettingsError(
                    f"settings.{name} is a secret, which no file under version control should have."
                    f' Write "{{{{ env.NAME }}}}", or leave it out and set the variable'
                    f" {variable(name, self.env_prefix)}."
                )
        return build_conversions_definitions(
            read_settings(prefix=self.env_prefix, values=self.settings),
            key_prefix=self.key_prefix,
            group=self.group,
            visits_upstream=self.visits_upstream,
            orders_upstream=self.orders_upstream,
        )
