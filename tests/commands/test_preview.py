"""The preview says what ingestion would do, shows nobody's data, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from tests.helpers.factories import HOUR, H, at, digest, land, landed_order, landed_visit

EMAIL = "ana.silva@example.com"
ORDER = {"email": EMAIL, "event_source_url": "https://shop.example/thanks"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a landing folder and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "landing").mkdir()
    for name, value in {"LANDING": "landing", "DATASET_ID": "42", "LAKE": "lake"}.items():
        monkeypatch.setenv(f"CAPI_{name}", value)
    monkeypatch.setenv("CAPI_LEDGER_URL", "sqlite:///ledger.db")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["preview", *arguments])


def as_json(*arguments: str) -> list[dict[str, Any]]:
    return list(json.loads(run(*arguments, "--json").output))


def test_a_file_from_anywhere_is_judged_for_the_hours_of_its_rows(folder: Path) -> None:
    (folder / "export.csv").write_text(
        "Order_ID,occurred_at,value,currency,status,e_mail,first_name,event_source_url\n"
        f"o1,{at().isoformat()},10,EUR,paid,{EMAIL},Ana,https://shop.example/thanks\n"
        f'o2,{(at() + 5 * HOUR).isoformat()},"1,5",EUR,confirmed,{EMAIL},Ana,\n'
        f"o3,{(at() + 5 * HOUR).isoformat()},1.5,EUR,confirmed,{EMAIL},Ana,\n"
        "Total,,11.5,,,,,\n"
    )
    (seen,) = as_json("export.csv")
    assert (seen["table"], seen["rows"], seen["sum_lines"]) == ("orders", 1, 1)
    assert seen["hours"] == ["2026-11-20-13:00", "2026-11-20-18:00"]
    assert [(r["reason"], r["places"]) for r in seen["refusals"]] == [
        ("status:not_allowed", ["export.csv line 2 (aaaa)"]),
        ("value:not_a_number", ["export.csv line 3 (9,9)"]),
    ]
    assert "CAPI_ORDERS_COLUMNS" in seen["refusals"][0]["text"]
    assert seen["unknown_columns"] == {"e_mail": "email"}
    assert [r["reason"] for r in seen["verdicts"]] == ["invalid:weak_match_keys"]
    assert seen["payload"] is None
    assert sorted(path.name for path in folder.iterdir()) == ["export.csv", "landing"]


def test_a_file_in_the_landing_folder_is_judged_for_its_hour(folder: Path) -> None:
    rows = [landed_order(**ORDER), landed_order(order_id="o2", occurred_at=at(70).isoformat())]
    path = land(folder / "landing", "orders", "a.jsonl", rows)
    (seen,) = as_json(str(path))
    assert (seen["hours"], seen["rows"]) == (["2026-11-20-13:00"], 1)
    assert [r["reason"] for r in seen["refusals"]] == ["occurred_at:outside_hour"]


def test_an_hour_shows_both_tables_and_its_first_event_with_the_visits_values(folder: Path) -> None:
    landing = folder / "landing"
    visit = landed_visit(fbp="fb.1.1763640000000.1234567890", client_ip_address="83.149.9.216")
    land(landing, "visits", "v.csv", [{**visit, "page_url": "https://shop.example/a?k=1"}])
    land(landing, "orders", "o.csv", [landed_order(**ORDER, visit_id="v1", phone="nobody")])
    (landing / "orders" / "stray.csv").write_text("order_id\n")
    visits, orders = as_json("2026-11-20-13:00")
    assert (visits["table"], visits["rows"], visits["payload"]) == ("visits", 1, None)
    assert orders["misplaced"] == ["orders/stray.csv"]
    assert [r["reason"] for r in orders["dropped"]] == ["phone:no_digits"]
    person = orders["payload"]["user_data"]
    assert person["em"] == [f"{digest(EMAIL)[:12]}…"]
    assert person["client_ip_address"] == "99.999.9.999"
    assert orders["payload"]["event_id"] == "Purchase:o1"
    assert sorted(path.name for path in folder.iterdir()) == ["landing"]


def test_the_first_event_is_that_of_the_first_sound_order(folder: Path) -> None:
    rows = [
        landed_order(order_id=name, occurred_at=at(n).isoformat(), status=status, **ORDER)
        for n, (name, status) in enumerate([("o1", "cancelled"), ("o2", "no"), ("o3", "confirmed")])
    ]
    land(folder / "landing", "orders", "o.csv", rows)
    (seen,) = as_json("2026-11-20-13:00", "--table", "orders")
    assert seen["payload"]["event_id"] == "Purchase:o3"
    assert {r["reason"]: r["count"] for r in seen["verdicts"]} == {
        "ready": 1,
        "withheld:cancelled": 1,
    }


def test_people_read_it_and_nobody_is_in_it(folder: Path) -> None:
    land(folder / "landing", "orders", "o.csv", [landed_order(**ORDER, phone="nobody")])
    (folder / "landing" / "orders" / "2026-11-20" / "13" / "b.csv").write_bytes(b"\xff\xfe\0\0")
    result = run("2026-11-20-13:00", "--table", "orders")
    assert result.exit_code == 1
    assert "1 row of orders in 2026-11-20-13:00" in result.output
    assert "Cannot be read: orders/2026-11-20/13/b.csv: the file is UTF-16" in result.output
    assert "The phone number has no digits" in result.output
    assert "Purchase:o1" in result.output
    assert "ana" not in result.output.lower()


def test_a_file_without_our_columns_names_the_nearest(folder: Path) -> None:
    (folder / "x.csv").write_text(f"OrderId,Occured_at,Value\no1,{H.isoformat()},1\n")
    (seen,) = as_json("x.csv")
    assert seen["unknown_columns"] == {"OrderId": "order_id", "Occured_at": "occurred_at"}
    (problem,) = seen["file_problems"]
    assert "required column 'order_id' is missing; the nearest column is 'OrderId'" in problem


def test_a_model_is_read_with_its_map(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "m.sql").write_text(f"SELECT 1 AS nr, TIMESTAMPTZ '{H.isoformat()}' AS occurred_at")
    (folder / "m.toml").write_text("[columns]\nnr = 'visit_id'\n")
    monkeypatch.setenv("CAPI_VISITS_SQL", "m.sql")
    monkeypatch.setenv("CAPI_VISITS_COLUMNS", "m.toml")
    (seen,) = as_json("2026-11-20-13:00", "--table", "visits")
    assert (seen["source"], seen["rows"]) == ("m.sql", 1)
    (folder / "m.toml").write_text("[columns]\nnr = 'visitid'\n")
    result = run("2026-11-20-13:00", "--table", "visits")
    assert (result.exit_code, "the nearest is 'visit_id'" in result.output) == (1, True)


@pytest.mark.parametrize("target", ["nowhere.csv", "2026-11", "2026-13-01-00:00"])
def test_what_is_neither_hour_nor_file_is_said_so(folder: Path, target: str) -> None:
    result = run(target)
    assert result.exit_code == 2
    assert f"{target} is no file, and no hour such as 2026-11-19-19:00" in result.output


def test_a_file_that_cannot_be_read_is_an_error_without_a_trace(folder: Path) -> None:
    (folder / "x.xlsx").write_bytes(b"PK")
    result = run("x.xlsx")
    assert result.exit_code == 1
    assert "its name ends in none of .parquet" in result.output


def test_an_empty_file_has_no_rows(folder: Path) -> None:
    (folder / "x.csv").write_text("order_id,occurred_at,value,currency\n")
    (seen,) = as_json("x.csv")
    assert (seen["rows"], seen["refusals"]) == (0, [])
