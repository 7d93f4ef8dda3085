"""Pictures of coverage: pure functions from tables to SVG text that needs nothing else.

Each picture carries its own colours for light, dark and paper, asks for nothing over the network,
and says its numbers as text, so that a reader without eyes or colours gets them too. Colours never
stand alone: what is lost is hatched, and every bar is named.
"""

from capi_assets.coverage.charts.coverage_by_hour import GapBand, coverage_picture
from capi_assets.coverage.charts.freshness import freshness_picture
from capi_assets.coverage.charts.match_keys import match_keys_picture
from capi_assets.coverage.charts.waterfall import hour_picture, waterfall_picture

__all__ = [
    "GapBand",
    "coverage_picture",
    "freshness_picture",
    "hour_picture",
    "match_keys_picture",
    "waterfall_picture",
]
