"""What depends on a table or a view whose columns change: it works on, or nothing changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ecommerce_dagster.warehouses.sql_asset import AssetError
from postgres_warehouse.helpers import TABLE, VIEW, Warehouse

APPEND = "materialization: {type: table, strategy: append}"
DDL = "materialization: {type: table, strategy: ddl}\ncolumns: [{name: a, type: int}]"


@pytest.fixture
def viewed(w: Warehouse) -> Warehouse:
    """A table, a view of it, and a view of that."""
    w.run(TABLE, "SELECT 1 AS a, 'x' AS gone")
    w.sql("CREATE VIEW near AS SELECT a + 1 AS b FROM mart.t",
          "CREATE VIEW far AS SELECT near.b + t.a AS c FROM near, mart.t")  # fmt: skip
    return w


@pytest.fixture
def reader(w: Warehouse) -> Iterator[str]:
    """A role that may look at what it is allowed to."""
    w.sql('CREATE ROLE "BI tool"', "GRANT USAGE ON SCHEMA public TO PUBLIC")
    yield '"BI tool"'
    w.sql('DROP OWNED BY "BI tool"', 'DROP ROLE "BI tool"')


class TestViews:
    def test_they_stay_where_the_new_columns_fit_them(self, viewed: Warehouse) -> None:
        viewed.run(TABLE, "SELECT 'new' AS n, 10::bigint AS a")
        assert viewed.rows() == [("new", 10)]
        assert (viewed.rows("near"), viewed.rows("far")) == ([(11,)], [(21,)])

    def test_they_are_no_reason_to_say_anything(self, viewed: Warehouse) -> None:
        changes = viewed.run(TABLE, "SELECT 2 AS a").loaded.schema_changes
        assert [change for change in changes if "view" in change] == []

    def test_one_that_no_longer_fits_is_named_and_all_stays(self, viewed: Warehouse) -> None:
        with pytest.raises(AssetError) as error:
            viewed.run(TABLE, "SELECT 2 AS z")
        assert str(error.value) == (
            "assets/mart/t.sql:10: the view public.near needs mart.t as it was "
            '(column "a" does not exist); change or drop the view first'
        )
        assert viewed.rows() == [(1, "x")]
        assert (viewed.rows("near"), viewed.rows("far")) == ([(2,)], [(3,)])

    def test_a_failed_check_leaves_all_as_it_was(self, viewed: Warehouse) -> None:
        rule = "custom_checks: [{name: none, query: SELECT count(*) FROM mart.t}]"
        assert not viewed.run(f"{TABLE}\n{rule}", "SELECT 2 AS a").published
        assert (viewed.rows(), viewed.rows("far")) == ([(1, "x")], [(3,)])

    def test_those_of_the_pipeline_are_dropped_until_they_are_made_again(
        self, viewed: Warehouse
    ) -> None:
        built = viewed.run(TABLE, "SELECT 2 AS z", views=["near", "public.Far"])
        assert viewed.rows() == [(2,)]
        assert (viewed.kind("near"), viewed.kind("far")) == (None, None)
        changes = [change.split(" (")[0] for change in built.loaded.schema_changes]
        assert [change for change in changes if "view" in change] == [
            "the view public.near does not fit any more",
            "the view public.far does not fit any more",
        ]

    def test_one_that_needs_a_dropped_one_is_named(self, viewed: Warehouse) -> None:
        with pytest.raises(AssetError, match=r"the view public\.far needs mart.t as it was"):
            viewed.run(TABLE, "SELECT 2 AS z", views=["near"])
        assert viewed.rows("far") == [(3,)]

    def test_wider_columns_of_other_strategies_are_taken_over(self, w: Warehouse) -> None:
        w.run(APPEND, "SELECT 1 AS a")
        w.sql("CREATE VIEW twice AS SELECT a * 2 AS a FROM mart.t")
        w.run(APPEND, "SELECT 9000000000 AS a, 'more' AS b")
        assert w.rows("twice") == [(2,), (18_000_000_000,)]

    def test_owners_rights_options_and_comments_stay(self, w: Warehouse, reader: str) -> None:
        w.run(TABLE, "SELECT 1 AS a")
        w.sql(
            'CREATE VIEW "The view" (a, "B b") WITH (security_barrier=true) AS '
            "SELECT a, a FROM mart.t",
            f"GRANT SELECT ON mart.t TO {reader} WITH GRANT OPTION",
            f'GRANT SELECT ("B b"), UPDATE ON "The view" TO {reader}',
            'GRANT INSERT ON "The view" TO PUBLIC',
            """COMMENT ON VIEW "The view" IS 'it''s'""",
            """COMMENT ON COLUMN "The view"."B b" IS 'b'""",
        )
        facts = (
            "SELECT reloptions, pg_get_userbyid(relowner), obj_description(oid), "
            "col_description(oid, 2), relacl::text, (SELECT array_agg(attacl::text) "
            "FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) "
            "FROM pg_class c WHERE relname IN ('The view') ORDER BY relname"
        )
        rights = "SELECT relacl::text FROM pg_class WHERE oid = 'mart.t'::regclass"
        before, rights_before = w.sql(facts), w.sql(rights)
        w.run(TABLE, "SELECT 1 AS a, 2 AS more")
        assert (w.sql(facts), w.sql(rights)) == (before, rights_before)
        w.sql(
            f"GRANT CREATE ON SCHEMA public TO {reader}", f'ALTER VIEW "The view" OWNER TO {reader}'
        )
        w.run(TABLE, "SELECT 1 AS a, 2 AS other")
        assert w.sql(
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'The view'"
        ) == [("BI tool",)]

    def test_one_of_somebody_else_is_named(self, w: Warehouse) -> None:
        w.sql("CREATE ROLE builder LOGIN PASSWORD 'b'", "CREATE SCHEMA mart AUTHORIZATION builder",
              "GRANT USAGE ON SCHEMA public TO builder")  # fmt: skip
        try:
            builder = w.away(user="builder", password="b")
            w.run(TABLE, "SELECT 1 AS a", connection=builder)
            w.sql("CREATE VIEW theirs AS SELECT a FROM mart.t")
            with pytest.raises(AssetError) as error:
                w.run(TABLE, "SELECT 1 AS a, 2 AS b", connection=builder)
            assert str(error.value) == (
                "assets/mart/t.sql:10: mart.t cannot get other columns while the view "
                "public.theirs needs it: must be owner of view theirs"
            )
            assert w.rows("theirs") == [(1,)]
        finally:
            w.sql("DROP OWNED BY builder CASCADE", "DROP ROLE builder")

    def test_one_with_more_to_it_is_not_touched(self, viewed: Warehouse) -> None:
        viewed.sql("CREATE RULE r AS ON INSERT TO near DO INSTEAD NOTHING")
        with pytest.raises(AssetError, match=r"the view public\.near needs it, which has rules"):
            viewed.run(TABLE, "SELECT 2 AS z")
        assert viewed.rows("far") == [(3,)]


class TestOtherObjects:
    @pytest.mark.parametrize(
        ("statement", "named"),
        [
            ("CREATE MATERIALIZED VIEW kept AS SELECT a FROM mart.t", "materialized view kept"),
            ("CREATE FUNCTION f() RETURNS SETOF mart.t LANGUAGE sql AS 'TABLE mart.t'", "function"),
            ("CREATE VIEW v AS SELECT 1; CREATE MATERIALIZED VIEW kept AS SELECT a FROM mart.t",
             "materialized view kept"),
        ],
    )  # fmt: skip
    def test_they_are_named_and_all_stays(self, w: Warehouse, statement: str, named: str) -> None:
        w.run(TABLE, "SELECT 1 AS a")
        w.sql(statement)
        with pytest.raises(AssetError, match=f"cannot get other columns while .*{named}"):
            w.run(TABLE, "SELECT 1 AS a, 2 AS b")
        assert w.rows() == [(1,)]
        w.run(TABLE, "SELECT 3 AS a")
        assert w.rows() == [(3,)]

    def test_a_foreign_key_is_named_and_all_stays(self, w: Warehouse) -> None:
        w.run(TABLE, "SELECT 1 AS a")
        w.sql("ALTER TABLE mart.t ADD UNIQUE (a)",
              "CREATE TABLE child (a int REFERENCES mart.t (a))")  # fmt: skip
        with pytest.raises(AssetError, match="constraint child_a_fkey on table child depends on"):
            w.run(TABLE, "SELECT 1 AS a, 2 AS b")
        assert w.rows() == [(1,)]


class TestAnotherMaterialization:
    def test_a_table_becomes_a_view_below_other_views(self, viewed: Warehouse) -> None:
        viewed.run(VIEW, "SELECT 5 AS a")
        assert (viewed.kind(), viewed.rows("far")) == ("view", [(11,)])
        viewed.run(TABLE, "SELECT 6 AS a")
        assert (viewed.kind(), viewed.rows("far")) == ("table", [(13,)])

    def test_a_view_becomes_a_declared_table(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 5 AS a")
        w.sql("CREATE VIEW near AS SELECT a FROM mart.t")
        w.run(DDL)
        assert (w.kind(), w.rows("near")) == ("table", [])

    def test_a_view_that_needs_the_old_table_keeps_it(self, viewed: Warehouse) -> None:
        with pytest.raises(AssetError, match=r"the view public\.near needs mart.t as it was"):
            viewed.run(VIEW, "SELECT 5 AS z")
        assert (viewed.kind(), viewed.rows()) == ("table", [(1, "x")])

    def test_other_columns_of_a_view_reach_what_depends_on_it(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 1 AS a, 2 AS b")
        w.sql("CREATE VIEW near AS SELECT a FROM mart.t")
        w.run(VIEW, "SELECT 'x' AS a")
        assert w.rows("near") == [("x",)]

    def test_a_query_may_read_the_view_that_it_replaces(self, w: Warehouse) -> None:
        w.run(VIEW, "SELECT 5 AS a")
        w.run(TABLE, "SELECT a + 1 AS a FROM mart.t")
        assert (w.kind(), w.rows()) == ("table", [(6,)])
