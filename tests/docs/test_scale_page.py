"""The table of a thousand datasets is what its program prints."""

from __future__ import annotations

from pathlib import Path

from benchmarks.thousand_datasets import SLOPES, markdown

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")


def test_the_table_is_what_the_program_prints() -> None:
    assert markdown() in PAGE


def test_the_slopes_are_those_of_the_page() -> None:
    assert f"| {SLOPES.order_cpu * 1e6:.0f} | 501 | 491 | 1,000 |" in PAGE
    assert f"| hour without orders, in a range | {SLOPES.hour_cpu} |" in PAGE
    assert f"| dataset with orders, in an hour | {SLOPES.dataset_cpu} |" in PAGE
    assert f"{SLOPES.lookback_visit_cpu * 1e6:.2f} CPU s per million of the lookback" in PAGE
    assert f"{SLOPES.stream_judged_cpu} CPU s at a look that judges another hour" in PAGE
    assert f"{SLOPES.stream_open_cpu} at one after the open hour" in PAGE
    assert f"| {SLOPES.run_dagster_bytes / 1024:.0f} |" in PAGE
