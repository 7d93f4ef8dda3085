"""The worked hour of docs/anomaly-detection.md is what the code computes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.simulated_shops import HOUR, START, WEEK, open_shop
from benchmarks.weeks import SIZES
from capi_assets.coverage.anomalies.detect import detect_anomalies
from capi_assets.coverage.anomalies.hour_signals import ORDERS, VISITS, hour_signals

PAGE = Path(__file__).parents[2] / "docs" / "anomaly-detection.md"


def test_the_worked_hour_is_computed_by_the_code() -> None:
    shop = open_shop(SIZES["shop"], seed=11, weeks=5)
    begin = 4 * WEEK + 2 * 24 + 15
    shop.thin(slice(begin, begin + 12), 0.4, orders=True)
    signals = hour_signals([shop.health()], START + shop.hours * HOUR)
    assert signals is not None
    found = detect_anomalies(signals, 0.95)
    assert min(found) == signals.hour(begin + 2)
    page = PAGE.read_text(encoding="utf-8")
    assert found[signals.hour(begin + 3)][0].evidence in page
    rows = {line.split(" |")[0]: line for line in page.splitlines()}
    for name, counts in (
        ("| orders", signals.counts[0, ORDERS]),
        ("| visits", signals.counts[0, VISITS]),
    ):
        past = [f"{counts[begin + 3 - weeks * WEEK]:,.0f}" for weeks in (4, 3, 2, 1)]
        assert [cell.strip() for cell in rows[name].split("|")[2:6]] == past
