"""Lines of an export that are no orders of their own: sum lines, further lines of an order."""

from __future__ import annotations

import pytest

from capi_assets.ingest.hours import IngestedHour
from tests.helpers.factories import land
from tests.helpers.ingest_harness import IngestHarness

AT = "2026-11-20T13:05:00Z"
HEADER = "order_id,occurred_at,value,currency,email,Tax\n"
ORDERS = f"1,{AT},10,EUR,ana@example.com,2\n2,{AT},20,EUR,otto@example.com,4\n"


def ingested(harness: IngestHarness, content: str, name: str = "a.csv") -> IngestedHour:
    land(harness.landing, "orders", name, content.encode())
    return harness.hour("orders")


def sum_lines(hour: IngestedHour) -> list[int]:
    return [line for file in hour.left_out for line in file.sum_lines]


def further_lines(hour: IngestedHour) -> int:
    return sum(file.further_lines for file in hour.left_out)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (",,30.00,,,\n", [4]),
        (",,30.00,EUR,,6\n", [4]),
        (",,30,EUR,,\n,,40,USD,,\n", [4, 5]),
        ("Total,,30.00,,,6\n", [4]),
        ("\n**Grand total**,,30.00,EUR,,\n\n", [5]),
        (",Summe:,30,,,\n", [4]),
        ("Subtotal,,25,,,\nTOTAL EUR,,30,,,5\n", [4, 5]),
        ('Total général,,"30,00 €",,,\n', [4]),
        ("Gesamtsumme (2),,30,EUR,,\n", [4]),
        ("Итого,,30,,,\n", [4]),
        ("合計,,30,,,\n", [4]),
        ("Total,30.00\n", [4]),
        ('Total,"1,230.00"\n', [4]),
    ],
)
def test_a_sum_line_at_the_end_is_left_out_with_its_line(
    harness: IngestHarness, lines: str, expected: list[int]
) -> None:
    hour = ingested(harness, HEADER + ORDERS + lines)
    assert hour.rows.column("order_id").to_pylist() == ["1", "2"]
    assert hour.quarantine.num_rows == 0
    assert sum_lines(hour) == expected


@pytest.mark.parametrize(
    "line",
    [
        f"Total,{AT},30,EUR,,\n",  # has a time
        ",1795439100,30,EUR,,\n",  # has a time
        ",,30,EUR,lea@example.com,\n",  # has a person
        ",,15,EUR,,\n",  # less than an order above
        ",,30,EUR,,\n,,40,EUR,,\n",  # two of one currency: an export that lost its ids
        "Total-17,,30,EUR,,\n",  # an id
        "SUM17,,30,EUR,,\n",
        "Anna,,30,EUR,,\n",
        ",,,,,6\n",  # no value
        "3,30\n",
        "Total,lea@example.com\n",
    ],
)
def test_what_may_be_an_order_is_never_a_sum_line(harness: IngestHarness, line: str) -> None:
    hour = ingested(harness, HEADER + ORDERS + line)
    assert hour.rows.num_rows + hour.quarantine.num_rows >= 3
    assert len(sum_lines(hour)) <= line.count("\n") - 1


def test_a_sum_amid_the_orders_is_refused_as_a_row(harness: IngestHarness) -> None:
    hour = ingested(harness, HEADER + "Total,,30,,,\n" + ORDERS)
    assert (hour.quarantine.num_rows, sum_lines(hour)) == (1, [])


def test_orders_that_all_lost_their_ids_are_no_sums(harness: IngestHarness) -> None:
    hour = ingested(harness, HEADER + ",,10,EUR,,\n,,20,EUR,,\n")
    assert (hour.quarantine.num_rows, sum_lines(hour)) == (2, [])


@pytest.mark.parametrize("line", [",,0,,,\n", "Total,,0.00,EUR,,\n"])
def test_an_export_without_orders_may_have_a_sum(harness: IngestHarness, line: str) -> None:
    hour = ingested(harness, HEADER + line)
    assert (hour.rows.num_rows, hour.quarantine.num_rows, sum_lines(hour)) == (0, 0, [2])


def test_a_sum_in_a_file_of_json_is_left_out(harness: IngestHarness) -> None:
    order = f'{{"order_id": "1", "occurred_at": "{AT}", "value": 9, "currency": "EUR"}}\n'
    hour = ingested(harness, order + '{"order_id": "Total", "value": 9}\n', "a.jsonl")
    assert (hour.rows.num_rows, hour.quarantine.num_rows, sum_lines(hour)) == (1, 0, [2])


def test_a_value_that_is_not_utf8_keeps_its_row_before_a_sum(harness: IngestHarness) -> None:
    content = HEADER.encode() + f"1,{AT},10,EUR,M\xfcller@x.de,\n".encode("latin-1")
    land(harness.landing, "orders", "a.csv", content + b"Total,,10,,,\n")
    hour = harness.hour("orders")
    assert hour.rows.column("dropped_fields").to_pylist() == ["email:not_utf8"]
    assert sum_lines(hour) == [3]


SHOPIFY = "order_id,email,status,currency,value,occurred_at,Lineitem name,num_items,content_ids\n"


def test_further_lines_of_an_order_are_read_as_one_order(harness: IngestHarness) -> None:
    # The further lines have the e-mail address and the time again, as in Shopify's export.
    lines = (
        f'#1,ana@example.com,confirmed,EUR,30,{AT},Mug,1,"[""A""]"\n'
        f'#1,ana@example.com,,,,{AT},Cup,2,"[""B""]"\n'
        '#1,,,,,,Pot,1,"[""C""]"\n'
        f'#2,otto@example.com,confirmed,EUR,20,{AT},Mug,1,"[""A""]"\n'
    )
    hour = ingested(harness, SHOPIFY + lines)
    first, second = hour.rows.to_pylist()
    assert (first["value"], first["content_ids"], first["num_items"]) == (30, '["A","B","C"]', 4)
    assert (second["content_ids"], second["num_items"]) == ('["A"]', 1)
    assert (hour.quarantine.num_rows, hour.repeats, further_lines(hour)) == (0, 0, 2)


def test_further_lines_of_a_broken_order_are_one_refused_order(harness: IngestHarness) -> None:
    hour = ingested(harness, SHOPIFY + f"#1,,,EUR,x,{AT},Mug,,\n#1,,,,,,Cup,,\n")
    assert (hour.rows.num_rows, hour.quarantine.num_rows, further_lines(hour)) == (0, 1, 1)


@pytest.mark.parametrize(
    "line",
    [
        f"#1,otto@example.com,,,,{AT},Cup,,\n",  # another person
        f"#1,ana@example.com,refunded,,,{AT},Cup,,\n",  # another state
        "#1,ana@example.com,,,,2026-11-20T13:06:00Z,Cup,,\n",  # another time
        f"#1,ana@example.com,confirmed,EUR,31,{AT},Cup,,\n",  # another value
        f"#1,ana@example.com,confirmed,EUR,30,{AT},Mug,,\n",  # a repeat
        "#2,,,,,,Cup,,\n",  # another order
        ",,,,,,Cup,,\n",  # nobody's
    ],
)
def test_what_says_something_new_is_no_further_line(harness: IngestHarness, line: str) -> None:
    first = f"#1,ana@example.com,confirmed,EUR,30,{AT},Mug,,\n"
    hour = ingested(harness, SHOPIFY + first + line)
    assert further_lines(hour) == 0
    assert hour.repeats + hour.quarantine.num_rows == 1


def test_a_line_before_its_order_is_refused_as_a_row(harness: IngestHarness) -> None:
    first = f"#1,ana@example.com,confirmed,EUR,30,{AT},Mug,,\n"
    hour = ingested(harness, SHOPIFY + "#1,,,,,,Cup,,\n" + first)
    assert (hour.rows.num_rows, hour.quarantine.num_rows, further_lines(hour)) == (1, 1, 0)
