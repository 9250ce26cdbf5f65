"""Charts as SVG, and the questions a report asks."""

from __future__ import annotations

import re
from datetime import date, timedelta
from xml.etree import ElementTree

import duckdb
import pytest

from ecommerce_dagster.pages.charts import NARROW, WIDE, Chart, Kind, Point
from ecommerce_dagster.pages.palette import DARK, LIGHT
from ecommerce_dagster.pages.source import Source
from ecommerce_dagster.runtime.asset_state import AssetState

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart, width: int = WIDE) -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg(width, 'What <it> "is" & isn\'t'))


def texts(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def days(count: int) -> list[Point]:
    return [Point(date(2026, 1, 1) + timedelta(n), float(n)) for n in range(count)]


@pytest.mark.parametrize("kind", ["bars", "line", "rows", "columns"])
@pytest.mark.parametrize("count", [1, 2, 90])
def test_any_number_of_points_fits_into_the_width(kind: Kind, count: int) -> None:
    for width in (WIDE, NARROW):
        picture = drawn(Chart(kind, days(count)), width)
        assert picture.get("role") == "img"
        assert picture.get("aria-label") == 'What <it> "is" & isn\'t'
        assert float(picture.attrib["viewBox"].split()[2]) == pytest.approx(width, abs=2)


def test_colours_are_the_pages_own_in_both_modes() -> None:
    chart = Chart("columns", [Point("a", 1, "1", behind=2)])
    used = set(re.findall(r"var\(--([\w-]+)\)", chart.svg(WIDE, "")))
    assert {"chart", "chart-pale", "text", "muted", "line"} <= used
    assert used <= LIGHT.keys()
    assert LIGHT.keys() == DARK.keys()
    alone = chart.file(WIDE)
    assert "var(" not in alone
    assert LIGHT["chart"] in alone


def test_bars_begin_at_zero_also_when_all_values_are_far_from_it() -> None:
    for kind in ("bars", "columns"):
        labels = texts(drawn(Chart(kind, [Point(date(2026, 1, n), 1000 + n) for n in (1, 2)])))
        assert "0" in labels


def test_a_loss_is_drawn_below_zero() -> None:
    labels = texts(drawn(Chart("columns", [Point("2026-01", -400, "-80.0%", behind=500)])))
    assert "-80.0%" in labels
    assert any(label.startswith("−") for label in labels)  # noqa: RUF001 - as the library writes it


def test_names_are_text_and_stand_in_the_given_order() -> None:
    names = ["</svg><script>alert(1)</script>", "b & c", "2026-01-01"]
    picture = drawn(Chart("rows", [Point(name, 3, "3") for name in names]))
    assert not list(picture.iter(f"{SVG}script"))
    assert [text for text in texts(picture) if text in names] == names


def test_a_report_reads_the_tables_of_its_environment() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA dev_mart; CREATE TABLE dev_mart.sales AS SELECT 7 AS n")
        source = Source(connection, [AssetState("mart.sales")], schema_prefix="dev_")
        assert source.ask("FROM mart.sales").rows == [{"n": 7}]
        assert source.ask("SELECT nothing FROM mart.sales").rows == ()
        assert "nothing" in source.ask("SELECT nothing FROM mart.sales").missing
        assert "missing" in source.ask("FROM mart.missing").missing
