"""The generator against a real PostgreSQL: exact figures, repeatability, all or nothing."""

import os
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from data_generator import InvalidOptionsError, Options, UnavailableError, generate, migrate, reset
from data_generator import load as load_module
from data_generator import words as words_module
from data_generator.catalogue import suits
from data_generator.chaos import OTHER_SIZES, chosen
from data_generator.cli import main
from data_generator.connect import InvalidDsnError, connect
from data_generator.history import draw_history
from data_generator.orders import draw_orders, item_lines, order_lines
from ecommerce_dagster.shop.embedded_postgres import EmbeddedPostgres, PostgresServer

DAY = Options(starting_at=datetime(2025, 3, 1), ending_at=datetime(2025, 3, 1, 23, 59, 59, 999999))
NEXT_DAY = Options(
    starting_at=datetime(2025, 3, 2), ending_at=datetime(2025, 3, 2, 23, 59, 59, 999999)
)
BIG_ENOUGH_TO_INTERRUPT = ["--scale", "300", "--starting-at", "2025-03-01"]
REVENUE = """
    SELECT sum(total_price) FROM order_items AS i JOIN orders AS o ON o.id = i.order_id
    WHERE o.status IN ('paid', 'shipped')
"""

# Everything in the tables but the ids of orders and items, and the times of loading.
CONTENT = {
    "customers": "SELECT id, email, full_name, country, age FROM customers",
    "products": "SELECT id, sku, name, category FROM products",
    "variants": """
        SELECT id, product_id, variant_sku, color, size, manufacturing_price, selling_price,
            stock_quantity, is_active FROM product_variants
    """,
    "orders": """
        SELECT id - min(id) OVER (), customer_id, order_date, status, total_amount, created_at
        FROM orders
    """,
    "items": """
        SELECT order_id - (SELECT min(id) FROM orders), variant_id, quantity, unit_price,
            total_price, created_at FROM order_items
    """,
}
STRUCTURE = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT tablename, indexname, indexdef, true FROM pg_indexes WHERE schemaname = 'public'
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("generator") / "postgres") as server:
        yield server


@pytest.fixture
def dsn(server: PostgresServer) -> str:
    """A database with the five tables, empty, and their sequences at 1."""
    with psycopg.connect(server.dsn) as connection:
        reset(connection)
    return server.dsn


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        return sorted(connection.execute(query.encode()).fetchall())


def value(dsn: str, query: str) -> Any:
    return rows(dsn, query)[0][0]


def content(dsn: str, *, but: str = "") -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(dsn, query) for name, query in CONTENT.items() if name != but}


def run(*arguments: str, **environment: str) -> Result:
    absent = {name: None for name in os.environ if name.startswith("POSTGRES_")}
    return CliRunner(env={**absent, **environment}).invoke(main, arguments)


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


# --- The figures ---


def test_a_fresh_database_holds_the_agreed_figures_to_the_cent(dsn: str) -> None:
    summary = generate(dsn, DAY)

    assert rows(dsn, "SELECT status, count(*) FROM orders GROUP BY 1") == [
        ("cancelled", 47),
        ("paid", 251),
        ("pending", 107),
        ("shipped", 95),
    ]
    assert value(dsn, REVENUE) == Decimal("232856.13")
    ages = "SELECT width_bucket(age, ARRAY[18, 25, 35, 50]), count(*) FROM customers GROUP BY 1"
    assert rows(dsn, ages) == [(1, 18), (2, 19), (3, 24), (4, 39)]
    counts = [value(dsn, f"SELECT count(*) FROM ({query}) AS t") for query in CONTENT.values()]
    assert counts == [100, 50, 127, 500, 1506]
    assert counts == [
        summary.customers,
        summary.products,
        summary.variants,
        summary.orders,
        summary.items,
    ]
    assert set(summary.invalid_sizes.values()) == {0}
    assert len(summary.invalid_sizes) == 5


def test_rows_obey_the_rules_of_the_shop(dsn: str) -> None:
    before = datetime.now(UTC)
    generate(dsn, DAY)
    after = datetime.now(UTC)

    assert value(dsn, "SELECT count(DISTINCT date(order_date)) FROM orders") == 1
    assert value(dsn, "SELECT min(order_date)::date FROM orders") == date(2025, 3, 1)
    wrong_totals = """
        SELECT count(*) FROM orders AS o WHERE total_amount IS DISTINCT FROM
            (SELECT sum(total_price) FROM order_items AS i WHERE i.order_id = o.id)
    """
    assert value(dsn, wrong_totals) == 0
    other_dates = """
        SELECT count(*) FROM order_items AS i JOIN orders AS o ON o.id = i.order_id
        WHERE i.created_at <> o.order_date OR o.created_at <> o.order_date
    """
    assert value(dsn, other_dates) == 0
    for table in ("customers", "products", "product_variants", "orders"):
        assert before <= value(dsn, f"SELECT min(updated_at) FROM {table}") <= after


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
def test_the_time_zone_of_the_session_moves_nothing(dsn: str, zone: str) -> None:
    generate(make_conninfo(dsn, options=f"-c timezone={zone}"), DAY)

    assert value(dsn, "SELECT min(order_date)::date FROM orders") == date(2025, 3, 1)
    assert value(dsn, "SELECT max(order_date)::date FROM orders") == date(2025, 3, 1)
    assert value(dsn, REVENUE) == Decimal("232856.13")


def test_another_seed_gives_other_numbers(dsn: str) -> None:
    generate(dsn, replace(DAY, seed=7))

    assert value(dsn, REVENUE) != Decimal("232856.13")


def plain_items(
    rng: Random, orders: int, variant_ids: list[int], max_items: int
) -> list[tuple[int, int, int, Decimal]]:
    """The draws of the items as they are agreed, without any attention to speed."""
    items = []
    for order in range(1, orders + 1):
        most = min(max_items, len(variant_ids))
        for variant_id in rng.sample(variant_ids, rng.randint(1, most)):
            quantity = rng.randint(1, 3)
            price = Decimal(str(round(rng.uniform(20, 200), 2)))
            items.append((order, variant_id, quantity, price))
    return items


def plain_variants(rng: Random, categories: list[str]) -> list[tuple[Any, ...]]:
    """The same for the variants."""
    variants: list[tuple[Any, ...]] = []
    for product, category in enumerate(categories, start=1):
        sizes = ["36", "38", "40", "42", "44"] if category == "shoes" else ["S", "M", "L", "XL"]
        for _ in range(rng.randint(1, 4)):
            colour = rng.choice(["Red", "Blue", "Black", "White", "Green"])
            size = rng.choice(sizes)
            cost = round(rng.uniform(10, 80), 2)
            price = round(cost * rng.uniform(1.2, 2.0), 2)
            stock = rng.randint(0, 200)
            prices = Decimal(str(cost)), Decimal(str(price))
            variants.append((len(variants) + 1, product, colour, size, *prices, stock, True))
    return variants


@pytest.mark.parametrize("seed", [42, 0, 20250301])
def test_every_number_is_drawn_as_agreed(dsn: str, seed: int) -> None:
    generate(dsn, replace(DAY, seed=seed))
    rng = Random(seed)

    ages = [(id, rng.randint(18, 70)) for id in range(1, 101)]
    assert rows(dsn, "SELECT id, age FROM customers") == ages
    kinds = ["t-shirts", "hoodies", "shoes", "accessories", "jackets"]
    categories = [rng.choice(kinds) for _ in range(50)]
    assert rows(dsn, "SELECT id, category FROM products") == list(enumerate(categories, start=1))
    variants = plain_variants(rng, categories)
    columns = "id, product_id, color, size, manufacturing_price, selling_price, stock_quantity"
    assert rows(dsn, f"SELECT {columns}, is_active FROM product_variants") == variants
    midnight = datetime(2025, 3, 1, tzinfo=UTC)
    statuses, weights = ["pending", "paid", "cancelled", "shipped"], [0.2, 0.5, 0.1, 0.2]
    orders = [
        (
            id,
            rng.choice(range(1, 101)),
            midnight + timedelta(seconds=rng.randint(0, 86399)),
            rng.choices(statuses, weights)[0],
        )
        for id in range(1, 501)
    ]
    assert rows(dsn, "SELECT id, customer_id, order_date, status FROM orders") == orders
    items = plain_items(rng, 500, [variant[0] for variant in variants], 5)
    found = rows(dsn, "SELECT id, order_id, variant_id, quantity, unit_price FROM order_items")
    assert found == [(number, *item) for number, item in enumerate(items, start=1)]


@given(
    seed=st.integers(0, 2**70),
    count=st.integers(1, 40),
    variants=st.integers(1, 60),
    max_items=st.integers(1, 80),
)
@settings(max_examples=60)
def test_orders_and_items_are_drawn_as_agreed(
    seed: int, count: int, variants: int, max_items: int
) -> None:
    window = DAY.window()
    ids = list(range(101, 101 + variants))
    rng, plain = Random(seed), Random(seed)
    orders = draw_orders(rng, count, array("q", [5, 6, 7]), window)
    lines = "".join(item_lines(rng, orders, 1, array("q", ids), max_items)).splitlines()
    items = [line.split("\t")[:4] for line in lines]
    drawn = [line.split("\t") for line in order_lines(orders, 1, window.ending_at)]

    statuses = ["pending", "paid", "cancelled", "shipped"]
    for line in drawn:
        assert int(line[1]) == plain.choice([5, 6, 7])
        moment = datetime.fromisoformat(line[2])
        assert (moment - window.starting_at).total_seconds() == plain.randint(0, 86399)
        assert line[3] == plain.choices(statuses, [0.2, 0.5, 0.1, 0.2])[0]
    expected = plain_items(plain, count, ids, max_items)
    assert [(int(o), int(v), int(q), Decimal(p)) for o, v, q, p in items] == expected
    for number, line in enumerate(drawn, start=1):
        total = sum(q * p for order, _, q, p in expected if order == number)
        assert Decimal(line[4]) == total
    assert rng.getstate() == plain.getstate()


def test_words_of_another_faker_release_change_no_number_and_no_key(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(dsn, DAY)
    before = content(dsn)
    monkeypatch.setattr(words_module, "_lists", lambda: (("Other", "Words", "Here"),) * 2)
    generate(dsn, DAY)
    after = content(dsn)

    for table in ("variants", "orders", "items"):
        assert after[table] == before[table]
    assert [(row[0], row[1], row[4]) for row in after["customers"]] == [
        (row[0], row[1], row[4]) for row in before["customers"]
    ]
    assert value(dsn, "SELECT count(*) FROM products") == 50


# --- Repeating ---


def test_a_second_run_changes_nothing_but_the_times(dsn: str) -> None:
    generate(dsn, DAY)
    before = content(dsn)
    loaded = value(dsn, "SELECT max(updated_at) FROM product_variants")
    generate(dsn, DAY)

    assert content(dsn) == before
    for table in ("customers", "products", "product_variants", "orders"):
        assert value(dsn, f"SELECT min(updated_at) FROM {table}") > loaded
        assert value(dsn, f"SELECT count(DISTINCT updated_at) FROM {table}") == 1
        created = value(dsn, f"SELECT max(created_at) FROM {table}")
        assert created <= loaded


def test_a_second_window_adds_its_orders_and_leaves_the_first_alone(dsn: str) -> None:
    first = "SELECT * FROM orders WHERE order_date < '2025-03-02Z'"
    items = "SELECT * FROM order_items WHERE created_at < '2025-03-02Z'"
    generate(dsn, DAY)
    before = rows(dsn, first), rows(dsn, items)
    generate(dsn, NEXT_DAY)

    assert (rows(dsn, first), rows(dsn, items)) == before
    assert value(dsn, "SELECT count(*) FROM orders") == 1000
    assert value(dsn, "SELECT count(*) FROM customers") == 100
    assert value(dsn, REVENUE) == 2 * Decimal("232856.13")


def test_the_window_includes_its_ends_and_nothing_beyond(dsn: str) -> None:
    generate(dsn, DAY)
    for moment in ("2025-02-28 23:59:59.999999Z", "2025-03-01Z", "2025-03-01 23:59:59.999999Z"):
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "INSERT INTO orders (customer_id, order_date, status) VALUES (1, %s, 'paid')",
                [moment],
            )
    generate(dsn, DAY)

    assert value(dsn, "SELECT count(*) FROM orders") == 501
    assert value(dsn, "SELECT min(order_date)::date FROM orders") == date(2025, 2, 28)


def test_the_numbers_depend_on_the_options_not_on_what_was_there(dsn: str) -> None:
    generate(dsn, replace(DAY, seed=5, scale=3))
    summary = generate(dsn, DAY)

    assert (summary.variants, summary.orders, summary.items) == (127, 500, 1506)
    assert value(dsn, REVENUE) == Decimal("232856.13")
    # Variants the new seed does not draw stay, with sizes that still suit their product.
    assert set(summary.invalid_sizes.values()) == {0}


def test_ids_taken_by_hand_are_not_given_out_again(dsn: str) -> None:
    generate(dsn, DAY)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO orders (id, customer_id, order_date, status)"
            " VALUES (700, 1, '2024-01-01Z', 'paid')"
        )
    generate(dsn, NEXT_DAY)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO orders (customer_id, status) VALUES (1, 'paid')")

    assert value(dsn, "SELECT count(DISTINCT id) FROM orders") == 1002


def test_keys_stay_unique_at_scale(dsn: str) -> None:
    summary = generate(dsn, replace(DAY, scale=30, orders=1))

    assert value(dsn, "SELECT count(*) FROM customers") == summary.customers == 3000
    assert value(dsn, "SELECT count(*) FROM products") == summary.products == 1500
    assert value(dsn, "SELECT count(*) FROM product_variants") == summary.variants


def test_large_loads_take_the_fast_path_to_the_same_rows(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    structure = rows(dsn, STRUCTURE)
    generate(dsn, DAY)
    expected = content(dsn)
    with psycopg.connect(dsn) as connection:
        reset(connection)
    monkeypatch.setattr(load_module, "_BULK_ORDERS", 1)
    for _ in range(2):
        generate(dsn, DAY)

        assert content(dsn) == expected
        assert rows(dsn, STRUCTURE) == structure


def test_two_loads_at_once_wait_for_each_other(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TABLE customers, products, product_variants, orders, order_items")
    with ThreadPoolExecutor(4) as pool:
        for load in [pool.submit(generate, dsn, DAY) for _ in range(4)]:
            load.result()

    assert value(dsn, "SELECT count(*) FROM orders") == 500
    assert value(dsn, REVENUE) == Decimal("232856.13")


# --- Chaos ---


def test_chaos_changes_sizes_and_a_clean_run_heals_them(dsn: str) -> None:
    generate(dsn, DAY)
    clean = content(dsn)
    chaotic = generate(dsn, replace(DAY, chaos_percent=5))
    hurt = content(dsn)

    assert sum(chaotic.invalid_sizes.values()) == 6  # 5 % of 127
    assert {**hurt, "variants": None} == {**clean, "variants": None}
    both = list(zip(clean["variants"], hurt["variants"], strict=True))
    assert all(old[:4] + old[5:] == new[:4] + new[5:] for old, new in both)
    assert sum(old[4] != new[4] for old, new in both) == 6

    watermark = value(dsn, "SELECT max(updated_at) FROM product_variants")
    healed = generate(dsn, DAY)
    assert content(dsn) == clean
    assert set(healed.invalid_sizes.values()) == {0}
    assert value(dsn, "SELECT min(updated_at) FROM product_variants") > watermark


def test_all_sizes_can_be_wrong(dsn: str) -> None:
    summary = generate(dsn, replace(DAY, chaos_percent=100))

    assert sum(summary.invalid_sizes.values()) == 127
    shoes = """
        SELECT DISTINCT size FROM product_variants AS v JOIN products AS p ON p.id = v.product_id
        WHERE category = 'shoes'
    """
    assert {size for (size,) in rows(dsn, shoes)} <= {"S", "M", "L", "XL", "XXL"}


@given(st.integers(1, 500), st.floats(0, 100))
def test_chaos_hits_the_share_asked_for(count: int, percent: float) -> None:
    hit = chosen(count, percent, seed=42)

    assert (len(hit) == 0) == (percent == 0)
    assert abs(len(hit) - count * percent / 100) <= 1
    assert hit <= set(range(count))


def test_each_size_has_one_of_the_other_kind_and_comes_back_from_it() -> None:
    for size, other in OTHER_SIZES.items():
        assert OTHER_SIZES[other] == size
        assert size.isdigit() != other.isdigit()


def everything(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows but the variants, with their ids and times."""
    tables = ("customers", "products", "orders", "order_items")
    return {table: rows(dsn, f"SELECT * FROM {table}") for table in tables}


@pytest.mark.parametrize(
    "past", [("--days", "30", "--orders", "600"), ("--scale", "3", "--seed", "7")]
)
def test_chaos_and_its_repair_leave_all_but_the_sizes_as_they_are(
    dsn: str, past: tuple[str, ...]
) -> None:
    """Of a shop with a past they would else make today one with 500 orders more."""
    assert run("--dsn", dsn, *past).exit_code == 0
    # In its first hours a day may have no order yet.
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "UPDATE orders SET order_date = now(), updated_at = now()"
            " WHERE id = (SELECT max(id) FROM orders)"
        )
    clean, before = content(dsn), everything(dsn)
    chaos = run("--dsn", dsn, "--chaos-percent", "5")
    assert "Orders, customers and products are as they were" in chaos.output
    assert f"orders         {len(before['orders'])}\n" in chaos.output
    hurt = content(dsn)["variants"]
    wrong = [old[0] for old, new in zip(clean["variants"], hurt, strict=True) if old != new]
    assert len(wrong) == round(0.05 * len(hurt))
    assert f"invalid sizes  {len(wrong)} in the database" in chaos.output
    written = "SELECT id FROM product_variants WHERE updated_at > created_at"
    assert rows(dsn, written) == [(id,) for id in wrong]

    assert "invalid sizes  0 in" in run("--dsn", dsn).output
    assert content(dsn) == clean
    assert everything(dsn) == before


def test_a_day_without_orders_gets_those_of_today(dsn: str) -> None:
    generate(dsn, DAY)
    (before,) = rows(dsn, "SELECT count(*) FROM orders")
    assert run("--dsn", dsn, "--chaos-percent", "5").exit_code == 0
    assert rows(dsn, "SELECT count(*) FROM orders") == [before]

    assert run("--dsn", dsn).exit_code == 0

    (after,) = rows(dsn, "SELECT count(*) FROM orders")
    assert after[0] == before[0] + 500
    assert "are as they were" in run("--dsn", dsn).output
    assert rows(dsn, "SELECT count(*) FROM orders") == [after]


def test_sizes_that_were_written_by_hand_are_set_right_too(dsn: str) -> None:
    generate(dsn, DAY)
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE product_variants SET size = CASE id % 2 WHEN 0 THEN 'huge' END")
        connection.execute("UPDATE product_variants SET size = '39' WHERE id = 1")
    sizes = (
        "SELECT v.id, size, category FROM product_variants v JOIN products p ON p.id = product_id"
    )

    run("--dsn", dsn, "--chaos-percent", "100")
    assert not any(suits(size, category) for _, size, category in rows(dsn, sizes))
    assert "invalid sizes  0 in" in run("--dsn", dsn).output
    assert all(suits(size, category) for _, size, category in rows(dsn, sizes))


# --- Options ---


def test_all_bad_options_are_told_at_once() -> None:
    bad = Options(
        customers=-1,
        products=0,
        orders=0,
        max_items_per_order=0,
        chaos_percent=float("nan"),
        scale=0,
        seed=-1,
        starting_at=NEXT_DAY.starting_at,
        ending_at=DAY.ending_at,
    )
    with pytest.raises(InvalidOptionsError) as caught:
        generate("postgresql://nowhere.invalid", bad)
    assert len(caught.value.problems) == 8

    result = run(
        "--orders", "0", "--scale", "-2", "--starting-at", "soon", "--chaos-percent", "101"
    )
    assert result.exit_code == 2
    for problem in ("orders must", "scale must", "'soon'", "chaos-percent must"):
        assert problem in result.output
    assert "inverted" not in result.output


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("inf")])
def test_chaos_percent_has_bounds(percent: float) -> None:
    with pytest.raises(InvalidOptionsError):
        replace(DAY, chaos_percent=percent).window()


def test_an_inverted_window_is_refused_and_an_instant_is_not(dsn: str) -> None:
    result = run("--dsn", dsn, "--starting-at", "2025-03-02", "--ending-at", "2025-03-01T23:59:59Z")
    assert result.exit_code == 2
    assert "inverted" in result.output

    noon = datetime(2025, 3, 1, 12)
    generate(dsn, replace(DAY, starting_at=noon, ending_at=noon))
    assert rows(dsn, "SELECT DISTINCT order_date FROM orders") == [(noon.replace(tzinfo=UTC),)]


def test_times_without_a_zone_are_utc_and_offsets_count() -> None:
    window = replace(
        DAY,
        starting_at=datetime.fromisoformat("2025-03-01T00:00:00+05:30"),
        ending_at=datetime.fromisoformat("2025-03-01T00:00:00"),
    ).window()

    assert window.starting_at == datetime(2025, 2, 28, 18, 30, tzinfo=UTC)
    assert window.ending_at == datetime(2025, 3, 1, tzinfo=UTC)
    assert window.seconds == 19_800


def test_a_window_outside_the_calendar_is_refused() -> None:
    with pytest.raises(InvalidOptionsError, match="years 1 to 9999"):
        replace(DAY, starting_at=datetime.fromisoformat("0001-01-01T00:00+14:00")).window()


def test_the_default_window_is_today_in_utc() -> None:
    window = Options().window()

    assert window.seconds == 86_399
    assert window.starting_at.time() == datetime.min.time()
    assert datetime.now(UTC) - window.starting_at < window.ending_at - window.starting_at


def test_no_order_is_later_than_the_load(dsn: str) -> None:
    """Of a window that is not over the orders are closer together; the numbers are the same."""
    summary = generate(dsn, Options())

    assert (summary.orders, summary.items) == (500, 1506)
    assert value(dsn, REVENUE) == Decimal("232856.13")
    late = "SELECT count(*) FROM orders WHERE order_date > updated_at"
    assert value(dsn, late) == 0
    assert value(dsn, "SELECT count(DISTINCT order_date::date) FROM orders") == 1
    generate(dsn, Options(days=2))
    assert value(dsn, late) == 0


def test_a_window_in_the_future_is_refused() -> None:
    for options in (["--starting-at", "2999-01-01"], ["--days", "2", "--ending-at", "2999-01-01"]):
        result = run(*options)
        assert result.exit_code == 2
    result = run("--starting-at", "2999-01-01", "--ending-at", "2999-01-02")
    assert result.exit_code == 2
    assert "in the future: nothing has been ordered then" in result.output


def test_days_are_one_or_more_and_begin_where_they_say() -> None:
    result = run("--days", "0", "--starting-at", "2025-03-01")
    assert result.exit_code == 2
    assert "days must be 1 or more, not 0" in result.output
    assert "days and starting-at exclude each other" in result.output
    window = Options(days=3, ending_at=datetime(2025, 3, 1, 12)).window()
    assert window.starting_at == datetime(2025, 2, 27, tzinfo=UTC)


def test_an_order_never_holds_more_items_than_there_are_variants(dsn: str) -> None:
    generate(dsn, replace(DAY, products=1, max_items_per_order=50))

    repeated = "SELECT order_id FROM order_items GROUP BY order_id, variant_id HAVING count(*) > 1"
    assert rows(dsn, repeated) == []
    variants = value(dsn, "SELECT count(*) FROM product_variants")
    most = "SELECT max(n) FROM (SELECT count(*) AS n FROM order_items GROUP BY order_id) AS t"
    assert value(dsn, most) == variants


# --- A shop with a past ---

PAST = Options(days=365, orders=20_000, customers=9_000, ending_at=datetime(2025, 12, 31, 12))


@pytest.fixture(scope="module")
def past(server: PostgresServer) -> str:
    """A database of its own with a year of orders; only to be read."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE past")
    dsn = replace(server, database="past").dsn
    generate(dsn, PAST)
    return dsn


def test_days_of_a_past_have_seasons_weekdays_and_growth(past: str) -> None:
    days = dict(rows(past, "SELECT order_date::date, count(*) FROM orders GROUP BY 1"))
    assert [min(days), max(days), len(days)] == [date(2025, 1, 1), date(2025, 12, 31), 365]

    def mean(wanted: Callable[[date], bool]) -> float:
        found = [number for day, number in days.items() if wanted(day)]
        return float(sum(found) / len(found))

    weekdays = [mean(lambda day, n=n: day.weekday() == n) for n in range(7)]  # type: ignore[misc]
    assert weekdays.index(max(weekdays)) == 6
    assert max(weekdays) > 1.2 * min(weekdays)
    months = [mean(lambda day, n=n: day.month == n) for n in range(1, 13)]  # type: ignore[misc]
    assert months.index(max(months)) >= 10
    assert months[11] > 2 * months[0]  # growth and Christmas
    assert months[7] < 1.1 * months[5]  # summer, in spite of growth
    assert days[date(2025, 11, 28)] > 1.3 * days[date(2025, 11, 21)]  # Black Friday
    hours = dict(
        rows(past, "SELECT extract(hour FROM order_date)::int, count(*) FROM orders GROUP BY 1")
    )
    assert hours[20] > 5 * hours[3]


def test_customers_of_a_past_come_back_and_are_plausible(past: str) -> None:
    assert value(past, "SELECT count(*) FROM orders") > 19_900
    orders = "SELECT customer_id, count(*) AS n FROM orders GROUP BY 1"
    [(customers, returning, most, tenth)] = rows(
        past,
        f"""
        SELECT count(*), count(*) FILTER (WHERE n > 1), max(n),
            (SELECT sum(n) FROM (SELECT n FROM ({orders}) AS o ORDER BY n DESC LIMIT 900) AS t)
        FROM ({orders}) AS o
    """,
    )
    assert customers == value(past, "SELECT count(*) FROM customers") > 8_900
    assert 0.3 < returning / customers < 0.55
    assert 10 < most < 100
    assert 0.25 < tenth / 20_000 < 0.5  # of all orders, by a tenth of the customers
    late = "SELECT count(*) FROM customers c WHERE created_at <> (SELECT min(order_date) FROM orders WHERE customer_id = c.id)"
    assert value(past, late) == 0
    countries = dict(rows(past, "SELECT country, count(*) FROM customers GROUP BY 1"))
    assert len(countries) < 30
    assert 0.18 < countries["United States"] / customers < 0.28
    ages = "SELECT width_bucket(age, ARRAY[18, 25, 35, 50]), count(*) FROM customers GROUP BY 1"
    shares = [number / customers for _, number in rows(past, ages)]
    bands = [(0.1, 0.2), (0.3, 0.45), (0.25, 0.4), (0.08, 0.2)]
    assert all(low < share < high for share, (low, high) in zip(shares, bands, strict=True))


def test_orders_of_a_past_are_settled_and_cost_what_the_catalogue_says(past: str) -> None:
    wrong = """
        SELECT count(*) FROM orders AS o WHERE total_amount IS DISTINCT FROM
            (SELECT sum(total_price) FROM order_items AS i WHERE i.order_id = o.id)
    """
    assert value(past, wrong) == 0
    pending = "SELECT min(order_date)::date FROM orders WHERE status = 'pending'"
    assert value(past, pending) > date(2025, 12, 25)
    prices = """
        SELECT order_date::date, min(unit_price / selling_price)
        FROM order_items i JOIN product_variants v ON v.id = variant_id JOIN orders o ON o.id = order_id
        GROUP BY 1 HAVING round(min(unit_price / selling_price), 2) < 1
    """
    assert [day for day, _ in rows(past, prices)] == [
        date(2025, 11, day) for day in (28, 29, 30)
    ] + [date(2025, 12, 1)]
    jackets = """
        SELECT extract(quarter FROM order_date)::int, avg((category = 'jackets')::int)::float
        FROM order_items i JOIN product_variants v ON v.id = variant_id
        JOIN products p ON p.id = product_id JOIN orders o ON o.id = order_id GROUP BY 1
    """
    shares = dict(rows(past, jackets))
    assert shares[4] > 1.5 * shares[3]


def test_the_same_seed_gives_the_same_past_and_a_later_load_the_same_morning(dsn: str) -> None:
    evening = replace(PAST, days=20, orders=400, customers=150, ending_at=datetime(2025, 3, 1, 20))
    generate(dsn, evening)
    first = content(dsn)
    generate(dsn, evening)
    assert content(dsn) == first
    noon = replace(evening, ending_at=datetime(2025, 3, 1, 12))
    with psycopg.connect(dsn) as connection:
        reset(connection)
    generate(dsn, noon)
    assert 0 < len(content(dsn)["orders"]) < len(first["orders"])
    for table in ("orders", "items", "customers"):
        assert set(content(dsn)[table]) <= set(first[table])
    generate(dsn, replace(evening, seed=7))
    assert content(dsn) != first


def test_a_past_has_the_products_of_an_agreed_load(dsn: str) -> None:
    generate(dsn, DAY)
    agreed = content(dsn)
    summary = generate(dsn, replace(PAST, days=3, orders=30, customers=500))
    assert summary.orders <= 30
    assert {name: content(dsn)[name] for name in ("products", "variants")} == {
        name: agreed[name] for name in ("products", "variants")
    }


@given(
    days=st.integers(1, 60),
    orders=st.integers(1, 300),
    customers=st.integers(1, 400),
    seed=st.integers(0, 2**40),
    part=st.integers(0, 86_399),
)
@settings(max_examples=60)
def test_any_past_has_no_order_too_late_and_nobody_who_did_not_order(
    days: int, orders: int, customers: int, seed: int, part: int
) -> None:
    options = replace(
        PAST,
        days=days,
        orders=orders,
        customers=customers,
        seed=seed,
        ending_at=datetime(2025, 3, 1),
    )
    window = replace(options, ending_at=datetime(2025, 3, 1, 23, 59, 59)).window()
    now = datetime(2025, 3, 1, tzinfo=UTC) + timedelta(seconds=part)
    history = draw_history(options, window, now)
    found, whole = history.orders, draw_history(options, window, window.ending_at)

    assert list(found.seconds) == sorted(found.seconds)
    assert all(second <= window.seconds_until(now) for second in found.seconds)
    assert len(whole.orders) == orders
    assert len(whole.first_orders) == len(set(whole.orders.customer_ids)) <= customers
    first: dict[int, int] = {}
    for customer, second in zip(found.customer_ids, found.seconds, strict=True):
        first.setdefault(customer, second)
    assert first == dict(enumerate(history.first_orders))


# --- The tables ---


def test_missing_tables_and_indexes_are_created_and_rows_are_kept(dsn: str) -> None:
    structure = rows(dsn, STRUCTURE)
    generate(dsn, DAY)
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP INDEX orders_order_date_idx")
        connection.execute("DROP TABLE order_items")
    with connect(dsn) as connection:
        migrate(connection)

    assert rows(dsn, STRUCTURE) == structure
    assert value(dsn, "SELECT count(*) FROM orders") == 500


def test_reset_empties_the_tables_and_migrate_only_fills_none(dsn: str) -> None:
    generate(dsn, DAY)
    with connect(dsn) as connection:
        reset(connection)
    result = run("--dsn", dsn, "--migrate-only")

    assert result.exit_code == 0
    assert value(dsn, "SELECT count(*) FROM customers") == 0


def test_a_role_that_may_only_write_rows_can_load(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP ROLE IF EXISTS loader")
        connection.execute("CREATE ROLE loader LOGIN PASSWORD 'pw'")
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO loader")
        connection.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO loader")
    try:
        summary = generate(make_conninfo(dsn, user="loader", password="pw"), replace(DAY, scale=11))
        assert value(dsn, "SELECT count(*) FROM order_items") == summary.items
    finally:
        with psycopg.connect(dsn) as connection:
            connection.execute("DROP OWNED BY loader")
            connection.execute("DROP ROLE loader")


# --- All or nothing ---


def test_what_psycopg_logs_of_an_interrupted_connection_is_not_printed() -> None:
    code = """
import logging
from data_generator import cli

def generate(*arguments):
    logging.getLogger("psycopg").warning("error ignored in rollback")
    raise KeyboardInterrupt

cli._generate = generate
cli.main(["--dsn", "postgresql://localhost/shop", "--starting-at", "2025-03-01"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (130, "Interrupted: nothing was changed.\n")


@pytest.mark.parametrize("table", ["public.order_items", "public.orders"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_load_leaves_the_database_as_it_was(
    dsn: str, end: signal.Signals, table: str
) -> None:
    generate(dsn, DAY)
    before = content(dsn), rows(dsn, STRUCTURE)
    process = subprocess.Popen(
        [sys.executable, "-m", "data_generator", "--dsn", dsn, *BIG_ENOUGH_TO_INTERRUPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    copying = f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY {table} %'"
    with psycopg.connect(dsn, autocommit=True) as connection:
        deadline = time.monotonic() + 60
        while connection.execute(copying.encode()).fetchone() == (0,):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(end)
        output, errors = process.communicate(timeout=60)
        while connection.execute(copying.encode()).fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    assert output == ""
    if end == signal.SIGINT:
        assert process.returncode == 130
        assert one_line(errors) == "Interrupted: nothing was changed."
    assert (content(dsn), rows(dsn, STRUCTURE)) == before


def test_a_load_that_postgres_refuses_leaves_the_database_as_it_was(dsn: str) -> None:
    generate(dsn, DAY)
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE orders ADD CONSTRAINT few CHECK (id <= 1000)")
    before = content(dsn)
    result = run("--dsn", dsn, "--starting-at", "2025-03-01", "--scale", "4")

    assert result.exit_code == 1
    assert "nothing was changed, Postgres says: " in one_line(result.output)
    assert "few" in result.output
    assert content(dsn) == before


# --- The command ---


def test_the_command_loads_and_sums_up(dsn: str) -> None:
    window = ["--starting-at", "2025-03-01", "--ending-at", "2025-03-01T23:59:59.999999Z"]
    result = subprocess.run(
        [sys.executable, "-m", "data_generator", "--dsn", dsn, *window],
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stderr == ""
    assert [line.split()[-1] for line in result.stdout.splitlines()[2:7]] == [
        "100",
        "50",
        "127",
        "500",
        "1506",
    ]
    assert "2025-03-01 00:00:00+00:00" in result.stdout
    assert value(dsn, REVENUE) == Decimal("232856.13")


def test_progress_reaches_its_totals(dsn: str) -> None:
    last: dict[str, tuple[int, int]] = {}
    generate(dsn, DAY, progress=lambda name, done, total: last.update({name: (done, total)}))

    assert last == {
        "customers": (100, 100),
        "products": (50, 50),
        "variants": (50, 50),
        "orders": (500, 500),
        "items": (500, 500),
    }


def test_help_has_an_example() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "data_generator", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "generate-data --dsn" in result.stdout
    assert "[default: 500]" in result.stdout


def test_the_database_comes_from_the_environment_too(dsn: str, server: PostgresServer) -> None:
    assert run("--orders", "3", **server.environment()).exit_code == 0
    assert value(dsn, "SELECT count(*) FROM orders") == 3
    # The DSN goes before the host, and an empty one does not count.
    lost = {"POSTGRES_HOST": "nowhere.invalid"}
    assert run("--orders", "4", POSTGRES_DSN=dsn, **lost).exit_code == 0
    assert run("--orders", "4", **{**server.environment(), "POSTGRES_DSN": ""}).exit_code == 0


def test_without_a_database_it_fills_the_local_one(tmp_path: Path) -> None:
    result = run("--orders", "7", ECOMMERCE_HOME=str(tmp_path))

    assert result.exit_code == 0, result.output
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        assert value(server.dsn, "SELECT count(*) FROM orders") == 7


def test_reset_empties_the_tables(dsn: str) -> None:
    run("--dsn", dsn, "--orders", "3")

    assert run("--dsn", dsn, "--reset").exit_code == 0
    assert value(dsn, "SELECT count(*) FROM orders") == 0


def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    result = run("--dsn", "postgresql://shop:hunter2@127.0.0.1:1/shop")

    assert result.exit_code == 1
    assert "127.0.0.1" in one_line(result.output)
    assert "hunter2" not in result.output


def test_a_wrong_password_is_told_in_one_line(server: PostgresServer) -> None:
    wrong = replace(server, password="hunter2")
    result = run(**wrong.environment())

    assert result.exit_code == 1
    assert "password authentication failed" in one_line(result.output)
    assert "hunter2" not in result.output
    assert server.password not in result.output
    with pytest.raises(UnavailableError, match="^cannot connect to Postgres: .*password"):
        generate(wrong.dsn, DAY)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://shop:hunt@er2@localhost:1/shop",
        "postgresql://shop:hunt/er2@localhost:1/shop",
        "postgresql://shop:er2%zz@localhost:1/shop",
        "host=localhost password=hunt er2",
        "er2",
    ],
)
def test_a_dsn_that_cannot_be_read_is_not_repeated(dsn: str) -> None:
    result = run("--dsn", dsn)

    assert result.exit_code == 2
    assert "percent-encoded" in result.output
    assert "er2" not in result.output
    with pytest.raises(InvalidDsnError) as caught:
        connect(dsn)
    assert "er2" not in str(caught.value)
