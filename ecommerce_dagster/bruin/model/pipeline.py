"""`pipeline.yml`: what all assets of a pipeline share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ecommerce_dagster.bruin.model.asset import AnyCase, Settings, Text, Texts, as_text
from ecommerce_dagster.bruin.yaml.located import Position, YamlMapping
from ecommerce_dagster.bruin.yaml.node import Node

_Catchup = Literal["false", "true", "active", "all"]


class Pipeline(Node):
    """`pipeline.yml`."""

    label = "a pipeline"
    foreign = frozenset(
        {
            "agent", "commit", "concurrency", "fixtures", "id", "max_active_steps",
            "metadata_push", "notifications", "snapshot",
        }
    )  # fmt: skip
    separable = True

    name: Text = ""
    schedule: Text | None = None
    start_date: Text | None = None
    catchup: Annotated[_Catchup, AnyCase, BeforeValidator(as_text)] | None = None
    default_connections: Settings = {}
    variables: Settings = {}
    variants: Settings = {}
    default: Settings = {}
    macros: tuple[Any, ...] = ()
    tags: Texts = ()
    domains: Texts = ()
    meta: Settings = {}
    owner: Text | None = None
    retries: int | None = Field(default=None, ge=0)

    @property
    def defaults(self) -> YamlMapping:
        """What every asset takes over, with its positions in pipeline.yml."""
        written = self._written.get("default") if self._written is not None else None
        return written if isinstance(written, YamlMapping) else YamlMapping(Position(self.path, 1))
