"""Checks that need no threshold, in runs of Dagster: weeks of good loads, and then a bad one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from ecommerce_dagster.runtime.run_tags import END_TAG, RANGE_END_TAG, RANGE_START_TAG, START_TAG
from orchestration.helpers import Tiny, checks_recorded, failures, run_all

# 70 days from a Monday on, with half as many orders on Sundays. Each 50th has no e-mail.
SOURCE = """
SELECT DATE '2026-01-05' + CAST(d AS INTEGER) AS placed_on,
    CAST(placed_on AS TIMESTAMP) + INTERVAL (86 * n % 86400) SECOND AS placed_at,
    CASE WHEN n % 50 > 0 THEN n END AS email,
    CAST(80 + (d * 7) % 5 AS DOUBLE) AS amount
FROM range(70) AS days (d), range(2000) AS orders (n)
WHERE n < CASE WHEN d % 7 = 6 THEN 500 ELSE 1000 END + (d * 37) % 60
"""
HEADER = """
depends: [raw.source]
meta: {anomalies: "volume, freshness"}
columns:
  - {name: email, meta: {anomalies: "null_percent, distinct_percent"}}
  - {name: amount, type: double, meta: {anomalies: average}}
"""
MONDAY = {RANGE_START_TAG: "2026-03-09", RANGE_END_TAG: "2026-03-09"}
EVERY_DAY = {RANGE_START_TAG: "2026-01-05", RANGE_END_TAG: "2026-03-15"}
LOADED = dg.AssetKey(["stg", "orders"])


def orders(tiny: Tiny, spoilt: str = "*", where: str = "TRUE", header: str = HEADER) -> None:
    """A table that is rebuilt by days, of columns `spoilt` on the way."""
    text = "name: tiny\nschedule: daily\nstart_date: 2026-01-05\n"
    pipeline = (tiny.directory / "pipeline.yml").read_text()
    tiny.write(
        "pipeline/pipeline.yml", pipeline if "schedule" in pipeline else f"{pipeline}{text[11:]}"
    )
    tiny.sql("raw.source", SOURCE)
    tiny.write(
        "pipeline/assets/stg.orders.sql",
        "/* @bruin\nname: stg.orders\ntype: duckdb.sql\n"
        "materialization: {type: table, strategy: time_interval, incremental_key: placed_on, "
        f"time_granularity: date}}\n{header.strip()}\n@bruin */\n"
        f"SELECT {spoilt} FROM raw.source\nWHERE {where}\n"
        "  AND placed_on BETWEEN '{{ start_date }}' AND '{{ end_date }}'\n",
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def said(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What each check said, after `ok` or how bad it is."""
    return {
        name.partition(":")[2]: ("ok" if e.passed else e.severity.value) + f": {e.description}"
        for name, e in checks_recorded(result).items()
    }


def wrong(result: dg.ExecuteInProcessResult) -> list[str]:
    return [text for text in said(result).values() if not text.startswith("ok: ")]


class TestDays:
    """A table that is rebuilt by days is its own history."""

    def test_a_bad_day_is_told_and_the_others_are_not(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        orders(tiny)
        whole = run_all(tiny.definitions(), instance)
        backfill = run_all(tiny.definitions(), instance, [LOADED], tags=EVERY_DAY)
        a_day = run_all(tiny.definitions(), instance, [LOADED], tags=MONDAY)
        for result in (whole, backfill, a_day):
            assert wrong(result) == []
        assert said(whole)["volume"] == (
            "ok: 2026-03-15: 533 rows; expected 356 to 964 on a Sunday, from 9 Sundays in 69 days"
        )
        assert said(backfill) == said(whole)

        spoilt = "placed_on, placed_at, NULL::BIGINT AS email, amount * 1.3 AS amount"
        orders(tiny, spoilt, "hour(placed_at) < 10")
        bad = run_all(tiny.definitions(), instance, [LOADED], tags=MONDAY)
        assert bad.success
        day, usual = "WARN: 2026-03-09:", "on a Monday, from 9 Mondays in 63 days"
        assert wrong(bad) == [
            f"{day} 465 rows; expected 686 to 1,853 {usual}",
            f"{day} 100 % of email is NULL; expected at most 5.48 % {usual}",
            f"{day} the average of amount is 105.3; expected 71.75 to 92.25, from 63 days",
        ]
        assert "bad_rows" not in checks_recorded(bad)["stg/orders:volume"].metadata

        orders(tiny, "* REPLACE (7 AS email)")
        [ids] = wrong(run_all(tiny.definitions(), instance, [LOADED], tags=MONDAY))
        assert (
            ids
            == f"{day} 0.0951 % of the values of email are distinct; expected 99.6 % to 100 %, from 63 days"
        )

        orders(tiny, where="placed_on <> '2026-03-09'")
        missing = said(run_all(tiny.definitions(), instance, [LOADED], tags=MONDAY))
        nothing = "ok: there is nothing to measure on 2026-03-09"
        assert missing == {
            "volume": f"{day} 0 rows; expected 686 to 1,853 {usual}",
            "freshness": f"{day} the newest row is 2 d old; expected at most 1 d 10 h, from 63 days",
            "email__null_percent": nothing,
            "email__distinct_percent": nothing,
            "amount__average": nothing,
        }

        orders(tiny)
        assert not wrong(run_all(tiny.definitions(), instance, [LOADED], tags=MONDAY))

    def test_one_that_blocks_keeps_the_rows_back(
        self, tiny: Tiny, instance: dg.DagsterInstance
    ) -> None:
        orders(tiny)
        run_all(tiny.definitions(), instance)
        before = tiny.query("SELECT count(*), max(placed_on) FROM stg.orders")
        orders(
            tiny,
            where="n_of < 9".replace("n_of", "minute(placed_at)"),
            header="meta: {blocking_anomalies: volume}",
        )

        rejected = run_all(tiny.definitions(), instance, [LOADED], tags=MONDAY)

        assert not rejected.success
        [found] = wrong(rejected)
        assert found.startswith("ERROR: 2026-03-09: 162 rows; expected 686 to 1,853 on a Monday")
        assert "1 blocking check failed; the table is as it was before" in str(failures(rejected))
        assert tiny.query("SELECT count(*), max(placed_on) FROM stg.orders") == before
        # Hours of a day that is not rebuilt as a whole keep nothing back.
        hours = {START_TAG: "2026-03-10T00:00:00", END_TAG: "2026-03-10T11:59:59"}
        part = run_all(tiny.definitions(), instance, [LOADED], tags=hours)
        words = "ok: the run fills no whole day; only those that it fills can keep rows back"
        assert said(part) == {"volume": words}


class TestRuns:
    """Any other table is compared with what earlier runs measured."""

    def test_a_table_that_grows(self, tiny: Tiny, instance: dg.DagsterInstance) -> None:
        header = (
            "meta: {anomalies: volume}\n"
            "columns: [{name: at, type: timestamp, meta: {anomalies: freshness}}]"
        )

        def defined(rows: str) -> dg.Definitions:
            query = "SELECT TIMESTAMP '2026-01-05' + INTERVAL (n * 864) SECOND AS at"
            tiny.sql("mart.t", f"{query} FROM range({rows}) AS rows (n)", header)
            return tiny.definitions()

        def load(definitions: dg.Definitions, number: int) -> list[str]:
            """What is said of volume and freshness in the run about a day, the first being 1."""
            day = str(date(2026, 1, 4) + timedelta(days=number))
            result = run_all(definitions, instance, tags={START_TAG: day, END_TAG: day})
            assert result.success
            return list(said(result).values())

        growing = defined("100 * date_diff('day', DATE '2026-01-04', DATE '{{ end_date }}')")
        learning = "learning what to expect: {} of 21 days seen"
        for number in range(1, 22):
            found = load(growing, number)
            seen = learning.format(number - 1)
            assert found == [
                f"ok: {100 * number:,} rows; {seen}",
                f"ok: the newest at is 14 min old; {seen}",
            ]
        assert [text[:4] for text in load(growing, 22)] == ["ok: ", "ok: "]
        volume, freshness = load(growing, 23)
        usual = "expected 2,266 to 2,381, from 21 days"
        assert volume == f"ok: 2,300 rows, 100 more than on 2026-01-26; {usual}"
        assert (
            freshness
            == "ok: the newest at is 14 min old; expected at most 2 h 13 min, from 22 days"
        )

        # It grows no more, then half of it is gone, then all is well.
        volume, freshness = load(defined("2300"), 24)
        assert volume.startswith("WARN: 2,300 rows, 0 more than on 2026-01-27; expected 2,366 to")
        assert freshness.startswith("WARN: the newest at is 1 d old; expected at most 2 h 13 min")
        volume, _ = load(defined("1150"), 25)
        assert volume.startswith("WARN: 1,150 rows, 1,150 fewer than on 2026-01-27; expected 2,4")
        assert [text[:4] for text in load(growing, 26)] == ["ok: ", "ok: "]
        # The table is not what it was on a day that has long been measured.
        words = "ok: not compared: later runs than of 2026-01-24 were measured"
        assert load(growing, 20) == [words, words]
        assert load(growing, 27)[0].startswith("ok: 2,700 rows, 100 more")
