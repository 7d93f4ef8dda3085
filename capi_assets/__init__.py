"""Confirmed conversions, delivered to Meta's Conversions API from stored visits.

For a Dagster project of one's own: `build_conversions_definitions` and the component
`ConversionsPipeline`. The code location of this repository is `capi_assets.definitions`; all rules
are plain functions over tables, in the packages next to it. Imports run one way, from `definitions`
down to `settings`.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capi_assets.component import ConversionsPipeline as ConversionsPipeline
    from capi_assets.definitions import (
        build_conversions_definitions as build_conversions_definitions,
    )

# pandera imports Spark's pandas wherever the client is installed, and we use nothing of it.
warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)

# Imported when they are first used: commands such as `capi-assets gaps` do not load Dagster.
_EXPORTS = {
    "ConversionsPipeline": "capi_assets.component",
    "build_conversions_definitions": "capi_assets.definitions",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
