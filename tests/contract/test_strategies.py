"""What each strategy makes of a table, in every warehouse."""

from __future__ import annotations

from contract.helpers import TABLE, Warehouse, values


def test_a_table_is_made_and_told(w: Warehouse) -> None:
    built = w.run(TABLE, values("id, v", "1, 'a'", "2, NULL"))
    assert w.rows() == [(1, "a"), (2, None)]
    assert (built.published, built.rows, built.loaded.rows_written) == (True, 2, 2)
    assert w.columns() == {"id": "integer", "v": "text"}
