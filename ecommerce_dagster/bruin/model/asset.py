"""The vocabulary of the format: what may stand in a file, as frozen, typed values.

Every value knows its file and line. Keys that Bruin knows and this project has no use for are
accepted and kept out of the way; other keys are reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ecommerce_dagster.bruin.yaml.node import Node


def as_text(value: Any) -> Any:
    """A scalar as it is spelt in the file; anything else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return getattr(value, "written", str(value)) if isinstance(value, int | float) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _key_parts(key: Any) -> tuple[str, ...]:
    return tuple(part for part in str(key or "").split("/") if part)


def _named(value: Any) -> Any:
    return {"asset": value} if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(as_text)]
Texts = tuple[Text, ...]
Settings = dict[str, Any]
Scalar = bool | int | float | str
# Bruin takes these words in any case.
AnyCase = BeforeValidator(_lower)

# The scheme of a uri that is the key of an asset of other code, in Dagster.
DAGSTER = "dagster"
# The key of `meta` that names it for a source.
EXTERNAL_KEY = "dagster_asset_key"
_RUNNERS = {"instance", "notifications", "routing"}
_WAREHOUSES = {"athena", "bigquery", "doris", "snowflake", "starrocks"}


_DECIMALS = {"dec", "decimal", "number", "numeric"}
_TEXTS = {"char", "character", "character varying", "string", "text", "varchar"}


class ColumnCheck(Node):
    """A rule on one column. What it means and which values it takes: `sql.rules`."""

    label = "a column check"
    foreign = frozenset({"notifications"})

    name: Text
    value: Scalar | tuple[Scalar, ...] | None = None
    blocking: bool = True
    description: Text = ""
    retries: int | None = None
    # `range` has two bounds and `regex` calls its value a pattern.
    min: Scalar | None = None
    max: Scalar | None = None
    pattern: Text | None = None


class CustomCheck(Node):
    """A query with an expected answer: its one cell equals `value`, or it has `count` rows."""

    label = "a custom check"
    foreign = frozenset({"notifications"})

    name: Text
    description: Text = ""
    value: int = 0
    count: int | None = None
    query: Text
    blocking: bool = True
    retries: int | None = None


class ForeignKey(Node):
    """The column of another table in which every value must occur."""

    label = "a foreign key"

    table: Text
    column: Text


class Upstream(Node):
    """A column of another table from which a column is computed."""

    label = "an upstream column"

    table: Text = ""
    column: Text = ""


class Column(Node):
    """A column of an asset, or of a glossary entity."""

    label = "a column"
    separable = True
    internal = Node.internal | {"term"}

    name: Text = ""
    extends: Text | None = None
    type: Text = ""
    description: Text = ""
    primary_key: bool | None = None
    update_on_merge: bool = False
    merge_sql: Text | None = None
    nullable: bool | None = None
    default: Scalar | None = None
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    collation: Text | None = None
    foreign_key: ForeignKey | None = None
    checks: tuple[ColumnCheck, ...] = ()
    source_column: Text | None = None
    mask: Text | None = None
    upstreams: tuple[Upstream, ...] = ()
    tags: Texts = ()
    domains: Texts = ()
    meta: Settings = {}
    owner: Text | None = None
    # The glossary's attribute that says which anomalies are looked for.
    term: Node | None = Field(default=None, exclude=True, repr=False)

    @property
    def sized_type(self) -> str:
        """The type with the digits or the length that stand in keys of their own."""
        word = self.type.strip().lower()
        if word in _DECIMALS and self.precision is not None:
            return f"{self.type}({self.precision}, {self.scale or 0})"
        if word in _TEXTS and self.length is not None:
            return f"{'varchar' if word in {'string', 'text'} else self.type}({self.length})"
        return self.type


class Dependency(Node):
    """An asset (or a `uri` of another pipeline) that this one reads. Symbolic: lineage only."""

    label = "a dependency"
    internal = Node.internal | {"owner"}

    asset: Text = ""
    uri: Text = ""
    # The asset of another pipeline of the checkout that has the `uri`.
    owner: Text = ""
    mode: Literal["full", "symbolic"] = "full"
    columns: tuple[dict[str, Any], ...] = ()

    @property
    def external_key(self) -> tuple[str, ...]:
        """The parts of a key in Dagster: of `uri: dagster://ext/rates` ext and rates. Empty for any
        other dependency."""
        scheme, found, key = self.uri.partition("://")
        return _key_parts(key) if found and scheme == DAGSTER else ()


class Materialization(Node):
    """How the result of an asset is stored."""

    label = "a materialization"

    type: Annotated[Literal["none", "view", "table"], AnyCase] = "none"
    strategy: Annotated[Text, AnyCase] | None = None
    incremental_key: Text | None = None
    incremental_predicate: Text | None = None
    time_granularity: Annotated[Literal["date", "timestamp"], AnyCase] | None = None
    partition_by: Text | None = None
    cluster_by: Texts = ()


class Hook(Node):
    """A statement that runs before or after the asset's own."""

    label = "a hook"

    query: Text
    applicable_type: Texts = ()


class Hooks(Node):
    """Statements around the asset's own, in the same transaction."""

    label = "hooks"

    pre: tuple[Hook, ...] = ()
    post: tuple[Hook, ...] = ()


class Secret(Node):
    """A connection that a Python asset finds as JSON in the environment variable `inject_as`."""

    label = "a secret"
    key_rules = {"key": "secret-mapping-key-exists"}

    key: Text
    inject_as: Text | None = None


class IntervalModifiers(Node):
    """How far the window of an asset reaches beyond the run's: `-2h`, `1d`, `-1M` or Jinja."""

    label = "interval modifiers"

    start: Text = ""
    end: Text = ""


class Asset(Node):
    """One asset: first as its file says, after resolving with defaults and glossary applied."""

    label = "an asset"
    foreign = frozenset({"agent", *_RUNNERS, *_WAREHOUSES})
    separable = True
    internal = Node.internal | {"body", "body_line", "body_path"}
    key_rules = {"tier": "valid-asset-tier"}
    parts = {
        **dict.fromkeys(Materialization.keys(), "'materialization'"),
        **dict.fromkeys(Hooks.keys(), "'hooks'"),
        **dict.fromkeys(("checks", "primary_key", "update_on_merge"), "one of the 'columns'"),
    }

    name: Text = ""
    type: Text = ""
    uri: Text = ""
    description: Text = ""
    owner: Text | None = None
    tags: Texts = ()
    domains: Texts = ()
    enabled: bool | Text = True
    run: Text | None = None
    image: Text | None = None
    depends: tuple[Annotated[Dependency, BeforeValidator(_named)], ...] = ()
    parameters: Settings = {}
    connection: Text | None = None
    connections: Settings = {}
    secrets: tuple[Secret, ...] = ()
    materialization: Materialization = Field(default_factory=Materialization)
    meta: Settings = {}
    metadata: Settings = {}
    tier: int | None = Field(default=None, ge=1, le=5)
    start_date: Text | None = None
    extends: Texts = ()
    columns: tuple[Column, ...] = ()
    custom_checks: tuple[CustomCheck, ...] = ()
    unit_tests: tuple[dict[str, Any], ...] = ()
    hooks: Hooks = Field(default_factory=Hooks)
    interval_modifiers: IntervalModifiers = Field(default_factory=IntervalModifiers)
    retries: int | None = Field(default=None, ge=0)
    rerun_cooldown: int | None = None
    timeout: Text | None = None
    refresh_restricted: bool | None = None
    full_refresh_restricted: bool | None = None
    # The code of a SQL or Python asset and where it starts: in the file itself, or in that of
    # `run`.
    body: str = Field(default="", repr=False)
    body_line: int = 1
    body_path: Path = Field(default=Path(), exclude=True, repr=False)

    @property
    def masked(self) -> set[str]:
        """The columns whose values are kept back, in lower case."""
        return {column.name.lower() for column in self.columns if column.mask}

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The names of the key columns, in the order of the file."""
        return tuple(column.name for column in self.columns if column.primary_key)

    @property
    def is_refresh_restricted(self) -> bool:
        """Whether a full refresh leaves this asset alone."""
        return bool(self.refresh_restricted or self.full_refresh_restricted)

    @property
    def rules(self) -> tuple[ColumnCheck | CustomCheck, ...]:
        """All checks as they are written: those of the columns, then the custom ones."""
        return (*(check for column in self.columns for check in column.checks), *self.custom_checks)

    @property
    def is_always_published(self) -> bool:
        """Whether the table is committed before it is checked, as in Bruin."""
        return bool(self.meta.get("publish") == "always")

    @property
    def external_key(self) -> tuple[str, ...]:
        """The parts of the key, in Dagster, of the asset of other code that makes this table: of
        `meta: {dagster_asset_key: ext/rates}` ext and rates. Empty when it is an asset of its own,
        and for whatever is not a source."""
        return _key_parts(self.meta.get(EXTERNAL_KEY)) if self.type.endswith(".source") else ()

    def parameter(self, name: str) -> str:
        """A text parameter, empty when it is not written."""
        value = self.parameters.get(name)
        return "" if value is None else str(as_text(value))
