"""Charts as SVG, figures over cubes, the questions a report asks, and how old it says numbers are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pytest
from playwright.sync_api import expect

from ecommerce_dagster.pages import charts
from ecommerce_dagster.pages.charts import NARROW, WIDE, Drawn, Kind
from ecommerce_dagster.pages.figures import Cube, Figure, Measure, Tile
from ecommerce_dagster.pages.palette import DARK, LIGHT
from ecommerce_dagster.pages.report import Report, Section, publish
from ecommerce_dagster.pages.source import Answer, Source
from ecommerce_dagster.runtime.asset_state import AssetState, CheckState, Setback, overtaken

from .conftest import OpenPage

SVG = "{http://www.w3.org/2000/svg}"
DAY = 86_400_000


def drawn(kind: Kind, rows: Sequence[Drawn], width: int = WIDE) -> ElementTree.Element:
    return ElementTree.fromstring(charts.svg(kind, rows, [], width, 'What <it> "is" & isn\'t'))


def texts(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def row(number: int, name: str | None = None, **more: Any) -> Drawn:
    at = {"at": name, "end": None} if name else {"at": number * DAY, "end": (number + 1) * DAY}
    rest = {"series": "s", "behind": None, "note": None, "tip": "", "label": f"{number}"}
    return {**rest, **at, "value": float(number), **more}


@pytest.mark.parametrize("kind", ["bars", "line", "lines", "rows", "columns", "grid"])
@pytest.mark.parametrize("count", [1, 2, 90])
def test_any_number_of_points_fits_into_the_width(kind: Kind, count: int) -> None:
    named = kind in {"rows", "columns", "grid"}
    rows = [row(n, f"name {n}" if named else None) for n in range(count)]
    for width in (WIDE, NARROW):
        picture = drawn(kind, rows, width)
        assert picture.get("role") == "img"
        assert picture.get("aria-label") == 'What <it> "is" & isn\'t'
        assert float(picture.attrib["viewBox"].split()[2]) <= width + 2


def test_colours_are_the_pages_own_in_both_modes() -> None:
    rows = [row(1, behind=2.0), row(2, behind=3.0, series="t")]
    pictures = [charts.svg(kind, rows, [], WIDE, "") for kind in ("bars", "lines", "columns")]
    used = set(re.findall(r"var\(--([\w-]+)\)", "".join(pictures)))
    assert {"chart", "chart-pale", "series-1", "series-2", "text", "muted", "line"} <= used
    assert used <= LIGHT.keys()
    assert LIGHT.keys() == DARK.keys()
    alone = charts.file("bars", rows, WIDE)
    assert "var(" not in alone
    assert LIGHT["chart"] in alone


def test_bars_begin_at_zero_also_when_all_values_are_far_from_it() -> None:
    assert "0" in texts(drawn("bars", [row(1001), row(1002)]))
    assert "0" in texts(drawn("columns", [row(1001, "a"), row(1002, "b")]))


def test_a_loss_is_drawn_below_zero() -> None:
    labels = texts(drawn("bars", [row(1, value=-400.0, behind=500.0)]))
    assert any(label.startswith("−") for label in labels)  # noqa: RUF001 - as the library writes it


def test_names_are_text_and_stand_in_the_given_order() -> None:
    names = ["</svg><script>1", "b & c", "2026-01-01"]
    picture = drawn("rows", [row(3, name) for name in names])
    assert not list(picture.iter(f"{SVG}script"))
    assert [text for text in texts(picture) if text in names] == names


def test_a_report_reads_the_tables_of_its_environment_and_knows_which() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA dev_mart; CREATE TABLE dev_mart.sales AS SELECT 7 AS n")
        states = [AssetState("mart.sales"), AssetState("mart.other")]
        source = Source(connection, states, schema_prefix="dev_")
        answer = source.ask("SELECT n FROM (FROM mart.sales)")
        assert (answer.rows, answer.tables) == ([{"n": 7}], ["mart.sales"])
        assert source.ask("SELECT nothing FROM mart.sales").rows == ()
        assert "nothing" in source.ask("SELECT nothing FROM mart.sales").missing
        assert "missing" in source.ask("FROM mart.missing").missing


def cube(rows: Sequence[dict[str, Any]], *dimensions: str, tables: Sequence[str] = ()) -> Cube:
    return Cube(Answer(rows, tables=tables), dimensions)


def daily(days: int, *, first: date = date(2026, 1, 1)) -> Cube:
    return cube([{"day": first + timedelta(n), "n": 1} for n in range(days)], "day")


@pytest.mark.parametrize(
    ("days", "least", "step", "lines"),
    [(1, "month", "day", 1), (20, "month", "week", 4), (62, "month", "month", 3), (92, "day", "day", 92),
     (93, "day", "week", 14), (731, "day", "week", 105), (732, "day", "month", 25)],
)  # fmt: skip
def test_a_chart_over_time_has_days_weeks_or_months(
    days: int, least: Any, step: str, lines: int
) -> None:
    figure = Figure(
        "By {step}", "bars", [daily(days)], {"day": ""}, [Measure("N", "n")], step=least
    )
    assert figure.named == f"By {step}"
    assert len(figure.lines) == lines
    assert sum(line.values[0] for line in figure.lines) == days


def test_days_without_anything_are_zero_and_have_no_quotient() -> None:
    rows = [{"day": date(2026, 1, day), "n": 2, "value": Decimal("9.00")} for day in (1, 3)]
    measures = [Measure("N", "n"), Measure("Each", "value", "amount", "n")]
    figure = Figure("", "bars", [cube(rows, "day")], {"day": "Day"}, measures)
    assert figure.cells == [
        ["2026-01-01", "2", "4.50"], ["2026-01-02", "0", "-"], ["2026-01-03", "2", "4.50"]
    ]  # fmt: skip


def failed(name: str, at: str, *depends: str, check_at: str = "") -> AssetState:
    check = CheckState("sizes", "Each size is valid.", True, "failed", check_at, "6 rows")
    checks = (check,) if check_at else ()
    return AssetState(name, at, checks=checks, depends=depends)


STATES = [
    failed("raw.variants", "2026-03-02T21:10:00+00:00"),
    failed("stg.variants", "2026-03-01T20:53:00+00:00", "raw.variants", check_at="2026-03-02T21:10:05+00:00"),
    failed("mart.profit", "2026-03-01T20:53:09+00:00", "stg.variants", "stg.orders"),
    AssetState(
        "stg.orders",
        "2026-03-02T21:10:01+00:00",
        setbacks=(Setback("2026-02-05T09:00:00+00:00", "failed"),),
    ),
    AssetState(
        "mart.orders",
        "2026-03-02T21:10:02+00:00",
        depends=("stg.orders",),
        setbacks=(
            *(Setback(f"2026-02-0{n}T10:00:00+00:00", "late") for n in range(2, 8)),
            Setback("2026-01-31T10:00:00+00:00", "failed"),
        ),
    ),
]  # fmt: skip


def test_what_is_older_than_what_it_is_made_of_is_found_with_the_reason() -> None:
    old = overtaken(STATES)
    assert {name: [a.name for a in because] for name, because in old.items()} == {
        "stg.variants": ["stg.variants"],
        "mart.profit": ["stg.variants"],
    }
    assert overtaken([replace(s, built_at="2026-03-02T21:10:00+00:00") for s in STATES]) == {}


def example(name: str) -> Report:
    """A page of the first days of March, made while the second of them is not over."""

    def rows(value: Decimal) -> list[dict[str, Any]]:
        days = (date(2026, 2, 1) + timedelta(n) for n in range(30))
        return [{"day": day, "name": name, "n": 1, "value": value} for day in days]

    orders = cube(rows(Decimal("41152.26")), "day", "name", tables=["mart.orders"])
    profit = cube(rows(Decimal(5)), "day", "name", tables=["mart.profit"])
    value = Measure("Value", "value", "amount")
    return Report(
        "Example",
        "All of it.",
        [Tile("Value", [orders], value)],
        [
            Section(
                "Numbers",
                [
                    Figure("Value by {step}", "bars", [orders], {"day": "Day"}, [value]),
                    Figure("Profit by {step}", "bars", [profit], {"day": "Day"}, [value]),
                    Figure("Value by name", "rows", [orders], {"name": "Name"}, [value], limit=5),
                ],
            )
        ],
        filters={"name": "Name"},
        assets=STATES,
    )


@pytest.mark.parametrize("scripts", [True, False])
def test_a_page_says_what_is_old_what_failed_and_what_is_not_over(
    open_page: OpenPage, tmp_path: Path, scripts: bool
) -> None:
    publish(example('=a,"b"'), tmp_path / "page.html")
    page = open_page(tmp_path / "page.html", scripts=scripts, fragment="#range=30")
    because = "because stg.variants failed its check 'sizes'."
    expect(page.locator("#state")).to_have_text(
        f"Data of 2026-03-02 21:10 UTC; 2 tables are older, {because}"
    )
    profit = page.get_by_role("figure", name="Profit by day")
    expect(profit).to_contain_text(f"Older than the rest: data of 2026-03-01 20:53 UTC, {because}")
    assert "Older" not in page.get_by_role("figure", name="Value by day").inner_text()
    visible = "svg" if scripts else ".wide svg"
    assert "stg.variants failed" in profit.locator(f"{visible} text").all_text_contents()
    # Each day on which a load of it failed or was late has a line; the latest has a text.
    value_by_day = page.get_by_role("figure", name="Value by day")
    expect(value_by_day).to_contain_text(
        "Dashed lines: 2026-02-03 (mart.orders late), 2026-02-04 (mart.orders late), 2026-02-05"
        " (stg.orders failed, 1 more), 2026-02-06 (mart.orders late), 2026-02-07 (mart.orders late),"
        " and 1 earlier day."
    )
    lines = value_by_day.locator(f"{visible} .mark-rule line, {visible} .mark-rule path")
    assert (
        lines.evaluate_all("all => all.filter(e => e.getAttribute('stroke-dasharray')).length") == 6
    )
    texts = value_by_day.locator(f"{visible} text").all_text_contents()
    assert {text for text in texts if "mart.orders" in text} == {"mart.orders late"}
    assert "Dashed" not in page.get_by_role("figure", name="Value by name").inner_text()
    # A value of a million fits; all of it is shown to the pointer.
    expect(page.locator(".tile .value")).to_have_text("1.23 M")
    expect(page.locator(".tile .value")).to_have_attribute("title", "1,234,567.80")
    bars = page.get_by_role("figure", name="Value by day").locator(f"{visible} .mark-rect path")
    opacities = bars.evaluate_all("all => all.map(e => e.getAttribute('opacity'))")
    assert [opacity for opacity in opacities if opacity == "0.5"] == ["0.5"]
    assert opacities[-1] == "0.5"
    if scripts:
        expect(page.locator("#covers")).to_contain_text("2 Mar 2026 is not over.")
        with page.expect_download() as saving:
            page.get_by_role("button", name="CSV: Value by name").click()
        content = saving.value.path().read_text()
        assert content == 'Name,Value\n"\'=a,""b""",1234567.80\n'


def test_an_address_that_says_nonsense_is_the_page_as_it_opens(
    open_page: OpenPage, tmp_path: Path
) -> None:
    publish(example("a"), tmp_path / "page.html")
    for fragment in (
        "#range=9&name=b&from=x",
        "#numbers",
        "#range=own&from=2030-01-01&to=1999-01-01",
    ):
        page = open_page(tmp_path / "page.html", fragment=fragment)
        page.wait_for_function("document.body.dataset.shows")
        expect(page.locator(".tile .value")).to_have_text("1.23 M")


def test_the_moment_of_a_page_without_dagster_is_its_own() -> None:
    made = datetime(2026, 3, 2, tzinfo=UTC)
    assert replace(example("a"), assets=(), made_at=made).state == "Data of 2026-03-02 00:00 UTC."
