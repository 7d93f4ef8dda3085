"""Charts with a time axis: functions from Arrow tables to inline SVG and the text around it.

Called by `commands/report`, whose page supplies `charts.css` (colours for light, dark and paper)
and draws headline and legend as HTML. Bars without a time axis are HTML too: `bars.html` there.
Every mark has a `<title>` with its numbers, and no meaning rests on colour alone: lost orders are
hatched, gaps carry their number.

    chart = coverage_chart(health, late, bands, buckets, now, width=WIDE)
    chart.headline, chart.legend, chart.svg
"""

from capi_assets.coverage.charts.coverage_by_hour import GapBand, coverage_chart
from capi_assets.coverage.charts.freshness import freshness_chart
from capi_assets.coverage.charts.match_keys import match_keys_chart
from capi_assets.coverage.charts.svg import NARROW, WIDE, Chart

__all__ = [
    "NARROW",
    "WIDE",
    "Chart",
    "GapBand",
    "coverage_chart",
    "freshness_chart",
    "match_keys_chart",
]
