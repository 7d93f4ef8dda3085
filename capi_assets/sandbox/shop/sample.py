"""The small sample in `data/sample`: three hours of the shop with more mistakes than usual.

`python -m capi_assets.sandbox.shop.sample data/sample` writes it again.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from capi_assets.sandbox.shop.files import write_landing
from capi_assets.sandbox.shop.shop import Shop

START = datetime(2026, 11, 16, 9, tzinfo=UTC)
END = datetime(2026, 11, 16, 12, tzinfo=UTC)
SAMPLE = Shop(
    seed=92, visits_per_day=700, conversion_rate=0.4, opened=START, mistaken=0.15, broken=0.08
)

if __name__ == "__main__":
    written = write_landing(Path(sys.argv[1]), START, END, SAMPLE)
    print(f"{written.visits} visits and {written.orders} orders in {written.files} files")
