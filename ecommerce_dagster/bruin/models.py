"""The vocabulary of the format: what may stand in a file, as frozen, typed values.

Every value knows its file and line. Keys that Bruin knows and this project has no use for are
accepted and kept out of the way; other keys are reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean, nearest
from ecommerce_dagster.bruin.yaml_source import YamlMapping


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _empty_list(value: Any) -> Any:
    return () if value is None else value


def _empty_mapping(value: Any) -> Any:
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_empty_list)]
Settings = Annotated[dict[str, Any], BeforeValidator(_empty_mapping)]
Scalar = bool | int | float | str

# Keys that belong to other warehouses, to Bruin Cloud or to runners that Dagster replaces.
_FOREIGN_KEYS = {
    "agent", "athena", "bigquery", "commit", "concurrency", "doris", "fixtures", "id", "image",
    "instance", "max_active_steps", "metadata_push", "notifications", "routing", "snapshot",
    "snowflake", "starrocks", "version",
}  # fmt: skip


class Node(BaseModel):
    """Something written in a file, at `line` (1-based) of `path`."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    path: Path = Field(default=Path(), exclude=True, repr=False)
    line: int = Field(default=1, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _take_position(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, YamlMapping):
            return data
        known = cls._keys()
        if isinstance(info.context, ProblemLog):
            for key in data.keys() - known - _FOREIGN_KEYS:
                cls._report_unknown(key, known, data, info.context)
        return {**data, "path": data.path, "line": data.line}

    @classmethod
    def _keys(cls) -> set[str]:
        return {f.alias or name for name, f in cls.model_fields.items()} - _POSITION

    @classmethod
    def _report_unknown(cls, key: str, known: set[str], data: YamlMapping, log: ProblemLog) -> None:
        """A key close to a known one is a typing error; anything else Bruin ignores, with a word.

        Bruin ignores both. A misspelt `materialization` would silently build another table.
        """
        line = data.key_lines.get(key, data.line)
        rule = f"unknown-{cls.__name__.lower()}-fields"
        if nearest(key, known):
            message = f"unknown key '{key}' in {cls.label()}; {did_you_mean(key, known)}"
            log.error(data.path, line, rule, message)
        else:
            known_keys = ", ".join(sorted(known))
            message = f"unknown key '{key}' in {cls.label()} is ignored; known: {known_keys}"
            log.warning(data.path, line, rule, message)

    @classmethod
    def label(cls) -> str:
        """What a user calls this thing."""
        return cls.__name__.lower()


_POSITION = {"path", "line", "body", "body_line"}


class ColumnCheck(Node):
    """A rule on one column. What it means and which values it takes: `warehouse.rules`."""

    name: Text
    value: Scalar | tuple[Scalar, ...] | None = None
    blocking: bool = True
    description: Text = ""
    retries: int | None = None
    # `range` has two bounds and `regex` calls its value a pattern.
    min: Scalar | None = None
    max: Scalar | None = None
    pattern: str | None = None

    @classmethod
    def label(cls) -> str:
        return "a column check"


Checks = Annotated[tuple[ColumnCheck, ...], BeforeValidator(_empty_list)]


class CustomCheck(Node):
    """A query with an expected answer: its one cell equals `value`, or it has `count` rows."""

    name: Text
    query: Text
    description: Text = ""
    value: int = 0
    count: int | None = None
    blocking: bool = True
    retries: int | None = None

    @classmethod
    def label(cls) -> str:
        return "a custom check"


class ForeignKey(Node):
    """The column of another table in which every value must occur."""

    table: Text
    column: Text

    @classmethod
    def label(cls) -> str:
        return "a foreign key"


class Upstream(Node):
    """A column of another table from which a column is computed."""

    table: Text = ""
    column: Text = ""

    @classmethod
    def label(cls) -> str:
        return "an upstream column"


class Column(Node):
    """A column of an asset, or of a glossary entity."""

    name: Text = ""
    extends: Text | None = None
    type: Text = ""
    description: Text = ""
    primary_key: bool | None = None
    checks: Checks = ()
    update_on_merge: bool = False
    merge_sql: Text | None = None
    nullable: bool | None = None
    default: Scalar | None = None
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    collation: Text | None = None
    foreign_key: ForeignKey | None = None
    source_column: Text | None = None
    mask: Text | None = None
    upstreams: Annotated[tuple[Upstream, ...], BeforeValidator(_empty_list)] = ()
    tags: Texts = ()
    domains: Texts = ()
    meta: Settings = {}
    owner: Text | None = None

    @classmethod
    def label(cls) -> str:
        return "a column"


class Dependency(Node):
    """An asset (or a `uri` of another pipeline) that this one reads. Symbolic: lineage only."""

    asset: Text = ""
    uri: Text = ""
    mode: Literal["full", "symbolic"] = "full"
    columns: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_empty_list)] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"asset": data} if isinstance(data, str) else data

    @classmethod
    def label(cls) -> str:
        return "a dependency"


class Materialization(Node):
    """How the result of an asset is stored."""

    type: Literal["none", "view", "table"] = "none"
    strategy: Text | None = None
    incremental_key: Text | None = None
    incremental_predicate: Text | None = None
    time_granularity: Literal["date", "timestamp"] | None = None
    partition_by: Text | None = None
    cluster_by: Texts = ()

    @classmethod
    def label(cls) -> str:
        return "a materialization"


class Hook(Node):
    """A statement that runs before or after the asset's own."""

    query: Text
    applicable_type: Texts = ()

    @classmethod
    def label(cls) -> str:
        return "a hook"


class Hooks(Node):
    """Statements around the asset's own, in the same transaction."""

    pre: Annotated[tuple[Hook, ...], BeforeValidator(_empty_list)] = ()
    post: Annotated[tuple[Hook, ...], BeforeValidator(_empty_list)] = ()

    @classmethod
    def label(cls) -> str:
        return "hooks"


class Secret(Node):
    """A connection that a Python asset finds as JSON in the environment variable `inject_as`."""

    key: Text
    inject_as: Text | None = None

    @classmethod
    def label(cls) -> str:
        return "a secret"


class IntervalModifiers(Node):
    """How far the window of an asset reaches beyond the run's: `-2h`, `1d`, `-1M` or Jinja."""

    start: Text = ""
    end: Text = ""

    @classmethod
    def label(cls) -> str:
        return "interval modifiers"


class Asset(Node):
    """One asset: first as its file says, after resolving with defaults and glossary applied."""

    name: Text = ""
    type: Text = ""
    uri: Text = ""
    description: Text = ""
    enabled: bool | str = True
    run: Text | None = None
    depends: Annotated[
        tuple[Dependency, ...], BeforeValidator(_listed), BeforeValidator(_empty_list)
    ] = ()
    parameters: Settings = {}
    connection: Text | None = None
    connections: Settings = {}
    secrets: Annotated[tuple[Secret, ...], BeforeValidator(_empty_list)] = ()
    materialization: Annotated[Materialization, BeforeValidator(_empty_mapping)] = Field(
        default_factory=Materialization
    )
    owner: Text | None = None
    tags: Texts = ()
    domains: Texts = ()
    meta: Settings = {}
    metadata: Settings = {}
    tier: int | None = Field(default=None, ge=1, le=5)
    start_date: Text | None = None
    extends: Texts = ()
    columns: Annotated[tuple[Column, ...], BeforeValidator(_empty_list)] = ()
    custom_checks: Annotated[tuple[CustomCheck, ...], BeforeValidator(_empty_list)] = ()
    unit_tests: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_empty_list)] = ()
    hooks: Annotated[Hooks, BeforeValidator(_empty_mapping)] = Field(default_factory=Hooks)
    interval_modifiers: Annotated[IntervalModifiers, BeforeValidator(_empty_mapping)] = Field(
        default_factory=IntervalModifiers
    )
    retries: int | None = Field(default=None, ge=0)
    rerun_cooldown: int | None = None
    timeout: Text | None = None
    refresh_restricted: bool | None = None
    full_refresh_restricted: bool | None = None
    # The code of a SQL or Python asset and the line of `path` at which it starts.
    body: str = Field(default="", repr=False)
    body_line: int = 1

    @classmethod
    def label(cls) -> str:
        return "an asset"

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The names of the key columns, in the order of the file."""
        return tuple(column.name for column in self.columns if column.primary_key)

    @property
    def keeps_history(self) -> bool:
        """Whether a full refresh leaves this asset alone."""
        return bool(self.refresh_restricted or self.full_refresh_restricted)

    def parameter(self, name: str) -> str:
        """A text parameter, empty when it is not written."""
        value = self.parameters.get(name)
        return "" if value is None else str(_text(value))


class Pipeline(Node):
    """`pipeline.yml`."""

    name: Text = ""
    schedule: Text | None = None
    start_date: Text | None = None
    catchup: Scalar | None = None
    default_connections: Settings = {}
    variables: Settings = {}
    variants: Settings = {}
    default: Settings = {}
    macros: Annotated[tuple[Any, ...], BeforeValidator(_empty_list)] = ()
    tags: Texts = ()
    domains: Texts = ()
    meta: Settings = {}
    owner: Text | None = None
    retries: int | None = Field(default=None, ge=0)

    @classmethod
    def label(cls) -> str:
        return "a pipeline"


class Attribute(Node):
    """A column that several tables share: defined once, extended by name."""

    name: Text = ""
    type: Text = ""
    description: Text = ""
    primary_key: bool | None = None
    checks: Checks = ()

    @classmethod
    def label(cls) -> str:
        return "a glossary attribute"


class Entity(Node):
    """A thing of the business, with its attributes by key."""

    name: Text = ""
    description: Text = ""
    domains: Texts = ()
    attributes: Annotated[dict[str, Attribute], BeforeValidator(_empty_mapping)] = {}

    @classmethod
    def label(cls) -> str:
        return "a glossary entity"


class Domain(Node):
    """A part of the business, with those who answer for it."""

    name: Text = ""
    description: Text = ""
    parent_domain: Text | None = None
    owners: Texts = ()
    tags: Texts = ()
    contact: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_empty_list)] = ()

    @classmethod
    def label(cls) -> str:
        return "a glossary domain"


class Glossary(Node):
    """`glossary.yml`: the words of the business."""

    domains: Annotated[dict[str, Domain], BeforeValidator(_empty_mapping)] = {}
    entities: Annotated[dict[str, Entity], BeforeValidator(_empty_mapping)] = {}

    @classmethod
    def label(cls) -> str:
        return "a glossary"

    def merged(self, other: Self) -> Self:
        """This glossary with the entries of `other` added."""
        return self.model_copy(
            update={
                "domains": {**self.domains, **other.domains},
                "entities": {**self.entities, **other.entities},
            }
        )
