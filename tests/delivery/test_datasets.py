"""The file of datasets: what it gives, and that each mistake in it is named with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from capi_assets.delivery.datasets import Datasets, DatasetsError, read_datasets

PASTED = "EAAG" + "x1Y2z3" * 30
ENV = {"SHOP_A_TOKEN": "EAAshopA", "SHOP_A_SECRET": "hush"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "datasets.yaml"


def read(path: Path, text: str, env: dict[str, str] | None = None) -> Datasets:
    path.write_text(text)
    return read_datasets(
        path, ENV if env is None else env, graph_url="https://graph.facebook.com", version="v26.0"
    )


def test_each_dataset_has_its_own_token_and_rate(path: Path) -> None:
    (path.parent / "token").write_text("EAAshopB\n")
    found = read(
        path,
        f"""
datasets:
  - id: "1111"
    token_variable: SHOP_A_TOKEN
    app_secret_variable: SHOP_A_SECRET
    test_event_code: TEST1
    partner_agent: shop-a
    requests_per_second: 0.5
  - id: 2222
    token_file: {path.parent}/token
""",
    )
    a, b = found.accesses["1111"], found.accesses["2222"]
    assert (a.token, a.app_secret, a.test_event_code) == ("EAAshopA", "hush", "TEST1")
    assert (b.token, b.app_secret, b.test_event_code) == ("EAAshopB", None, None)
    assert (a.partner_agent, b.partner_agent) == ("shop-a", None)
    assert {a.graph_url, b.graph_url} == {"https://graph.facebook.com"}
    assert found.requests_per_second == {"1111": 0.5}
    assert found.missing == {}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("token_variable: NOT_SET", "token_variable NOT_SET is not set"),
        ("token_file: /nowhere/token", "token_file /nowhere/token cannot be read"),
        (
            "token_variable: SHOP_A_TOKEN\n    app_secret_variable: NO_SECRET",
            "app_secret_variable NO_SECRET is not set",
        ),
        ("token_variable: SPACED", "holds characters no token has"),
    ],
)
def test_a_secret_that_cannot_be_had_costs_its_own_dataset_only(
    path: Path, entry: str, words: str
) -> None:
    found = read(
        path,
        f"datasets:\n  - id: 1\n    {entry}\n  - id: 2\n    token_variable: SHOP_A_TOKEN\n",
        {**ENV, "SPACED": "EAA neverShown"},
    )
    assert list(found.accesses) == ["2"]
    assert words in found.missing["1"]
    assert f"{path}: dataset 1: " in found.missing["1"]
    assert "neverShown" not in found.missing["1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("datasets: [", "is not YAML in line"),
        ("", "must have one key, `datasets`"),
        ("shops: []", "must have one key, `datasets`"),
        ("datasets: {}", "must be a list"),
        ("datasets: []", "must be a list"),
        ("datasets: [1]", "entry 1: must have keys"),
        ("datasets: [{token_variable: T}]", "entry 1: id: Field required"),
        ("datasets: [{id: x1, token_variable: T}]", "entry 1: id: "),
        (
            "datasets: [{id: 1}]",
            "entry 1: name one of token_variable, token_file and token_command",
        ),
        (
            "datasets: [{id: 1, token_variable: T, token_file: f}]",
            "entry 1: name one of token_variable, token_file and token_command",
        ),
        ("datasets: [{id: 1, token: EAAsecret}]", "entry 1: token: unknown key"),
        (f"datasets: [{{id: 1, token_variable: {PASTED}}}]", "entry 1: token_variable: looks like"),
        (f"datasets: [{{id: 1, token_file: {PASTED}}}]", "entry 1: token_file: looks like"),
        (f"datasets: [{{id: {PASTED}, token_file: f}}]", "entry 1: id: "),
        (
            "datasets: [{id: 1, token_variable: T, requests_per_second: 0}]",
            "entry 1: requests_per_second: ",
        ),
        (
            "datasets: [{id: 1, token_variable: T, requests_per_second: fast}]",
            "entry 1: requests_per_second: ",
        ),
        (
            "datasets: [{id: 1, token_variable: T}, {id: '1', token_variable: T}]",
            "entry 2: id: dataset 1 is named twice",
        ),
    ],
)
def test_a_mistake_is_named_with_file_and_key_and_never_shows_a_value(
    path: Path, text: str, words: str
) -> None:
    with pytest.raises(DatasetsError) as found:
        read(path, text)
    assert words in str(found.value)
    assert PASTED not in str(found.value)
    assert str(path) in str(found.value)
    assert "EAAsecret" not in str(found.value)


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(DatasetsError, match=r"datasets\.yaml: cannot be read .*CAPI_DATASETS"):
        read_datasets(path, ENV, graph_url="https://graph.facebook.com", version="v26.0")
