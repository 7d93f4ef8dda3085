"""What a worker reports: numbers, worded errors, and of others nothing that a row may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from capi_assets.ingest.sources import SourceError
from capi_assets.lake import LakeError
from capi_assets.spark.over_hours import read_reports, report_of
from capi_assets.spark.session import SparkError

HOUR = datetime(2026, 11, 20, 13, tzinfo=UTC)


@dataclass(frozen=True)
class Numbers:
    hour: datetime
    counts: dict[str, int]


AS_JSON = TypeAdapter(Numbers)


def _reported(work: Callable[[datetime], bytes]) -> list[Numbers]:
    return read_reports(pa.Table.from_batches([report_of(HOUR, work)]), AS_JSON)


def test_numbers_come_back_as_they_were() -> None:
    numbers = Numbers(HOUR, {"ready": 3})
    assert _reported(lambda hour: AS_JSON.dump_json(numbers)) == [numbers]


@pytest.mark.parametrize("kind", [LakeError, SourceError])
def test_an_error_with_a_remedy_comes_back_as_it_was(kind: type[Exception]) -> None:
    def fail(hour: datetime) -> bytes:
        raise kind("Free space, and materialize the hour again.")

    with pytest.raises(kind, match=r"^Free space, and materialize the hour again\.$"):
        _reported(fail)


def test_any_other_error_names_its_place_and_no_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(hour: datetime) -> bytes:
        raise ValueError("ana.silva@example.com is no number")

    with pytest.raises(
        SparkError, match=r"2026-11-20-13:00: ValueError at .*test_reports"
    ) as raised:
        _reported(fail)
    assert "ana" not in str(raised.value)
    log = capsys.readouterr().err
    assert "ValueError" in log
    assert "ana" not in log
