"""What a column of PostgreSQL becomes in DuckDB, so that every value arrives exact.

Left to itself, DuckDB's postgres extension reads a NUMERIC without precision as DOUBLE, and some
types otherwise from a table than from a query. Here a column has one type, however it is read: its
counterpart; the DECIMAL that holds all its values; or, failing that, the text PostgreSQL shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ecommerce_dagster.sql.identifiers import quoted

TEXTS = {"character", "character varying", "text"}
MOMENTS = {"date", "timestamp with time zone", "timestamp without time zone"}
FLOATS = {"double precision", "real"}
INTEGERS = {"bigint", "integer", "smallint"}

# format_type() without its modifier -> DuckDB. Their texts are the same whatever the settings.
_TYPES = {
    "bigint": "BIGINT", "bit": "VARCHAR", "bit varying": "VARCHAR", "boolean": "BOOLEAN",
    "bytea": "BLOB", "character": "VARCHAR", "character varying": "VARCHAR", "cidr": "VARCHAR",
    "date": "DATE", "double precision": "DOUBLE", "integer": "INTEGER",
    "interval": "INTERVAL", "json": "JSON", "jsonb": "JSON", "macaddr": "VARCHAR", "oid": "BIGINT",
    "real": "FLOAT", "smallint": "SMALLINT", "text": "VARCHAR", "tsvector": "VARCHAR",
    "time with time zone": "TIME WITH TIME ZONE", "time without time zone": "TIME",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "timestamp without time zone": "TIMESTAMP", "uuid": "UUID", "xml": "VARCHAR",
}  # fmt: skip
# Elements of arrays that the extension reads without fault. The others travel as text.
_SAFE_ELEMENTS = TEXTS | FLOATS | INTEGERS | {"boolean", "date", "uuid"}
# And of these DuckDB does not understand every text: they stay text.
_TEXT_ELEMENTS = {"bytea", "interval"}

_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_DIGITS = 38  # of a DECIMAL
_FRACTION = 9  # digits after the point, at least, where the values decide: room to grow


@dataclass(frozen=True)
class SourceColumn:
    """A column as format_type() describes it: `base` is `type` without its modifier."""

    name: str
    type: str
    base: str

    @property
    def is_array(self) -> bool:
        return self.base.endswith("[]")

    @property
    def element(self) -> str:
        """The type of the elements of an array; of another column its own."""
        return self.base.removesuffix("[]")

    @property
    def is_number(self) -> bool:
        """Whether the values have digits to count: NUMERIC, and money, which is one."""
        return self.element in {"numeric", "money"}

    @property
    def value(self) -> str:
        """The value in SQL for PostgreSQL."""
        cast = f"::{self.base.replace('money', 'numeric')}" if self.element == "money" else ""
        return quoted(self.name) + cast

    @property
    def text(self) -> str:
        """The text that PostgreSQL shows of the value, in SQL for it."""
        # To an address the cast would add /32.
        return f"abbrev({self.value})" if self.base == "inet" else f"{self.value}::text"

    @property
    def type_of_elements(self) -> str | None:
        """DuckDB's type of the value, or of an array's elements; None when the values decide."""
        if self.is_array and self.element in _TEXT_ELEMENTS:
            return "VARCHAR"
        if not self.is_number:
            return _TYPES.get(self.element, "VARCHAR")
        found = _NUMERIC.match(self.type)
        precision, scale = (int(found[1]), int(found[2])) if found else (0, 1)
        return f"DECIMAL({precision},{scale})" if scale <= precision <= _DIGITS else None

    @property
    def fixed_type(self) -> str | None:
        """DuckDB's type; None when the values decide: digits, or dimensions of an array."""
        return None if self.is_array else self.type_of_elements

    def outgoing(self, kind: str) -> str:
        """What PostgreSQL has to send so that it can become `kind`."""
        if kind == "VARCHAR":
            return self.text
        if kind == "DOUBLE" and self.is_number:
            return f"{self.value}::float8"
        if self.is_array:
            return self.value if self.element in _SAFE_ELEMENTS else f"{self.text}::text[]"
        exact = self.type_of_elements is not None and (self.is_number or self.base in _TYPES)
        return self.value if exact else self.text

    def is_exact(self, arriving: str, kind: str) -> bool:
        """Whether `arriving`, what the extension makes of it in a table, is `kind` exactly."""
        if arriving.startswith("ENUM("):
            return kind == "VARCHAR"
        if self.fixed_type is None or not (self.is_number or self.base in _TYPES):
            return False
        as_json = (arriving, kind) == ("VARCHAR", "JSON")
        return arriving == kind == self.fixed_type or as_json

    @property
    def questions(self) -> tuple[str, str, str]:
        """What to aggregate to learn the type: digits after the point, the largest, dimensions."""
        dimensions = f"max(array_ndims({self.value}))" if self.is_array else "NULL"
        if self.type_of_elements is not None:
            return "NULL", "NULL", dimensions
        if not self.is_array:
            return f"max(scale({self.value}))", f"max(abs({self.value}))", dimensions
        scale, largest = (
            f"max((SELECT max({function}(item)) FROM unnest({self.value}) AS item))"
            for function in ("scale", "abs")
        )
        return scale, largest, dimensions

    def type_for(self, scale: str | None, largest: str | None, dimensions: str | None) -> str:
        """DuckDB's type by the answers to `questions`: no value is refused, and none is rounded."""
        if int(dimensions or 1) > 1:
            return "VARCHAR"
        found = self.type_of_elements or _decimal(int(scale or 0), largest or "0")
        return f"{found}[]" if self.is_array else found


def _decimal(scale: int, largest: str) -> str:
    """The DECIMAL for numbers up to `largest` with `scale` digits after the point; else text."""
    whole = len(largest.partition(".")[0])
    if not largest[0].isdigit() or whole + scale > _DIGITS:  # NaN, Infinity, too many digits
        return "VARCHAR"
    return f"DECIMAL({_DIGITS},{max(scale, min(_FRACTION, _DIGITS - whole))})"
