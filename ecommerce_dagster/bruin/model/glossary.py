"""`glossary.yml`: the words of the business, and what every column of that name has."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from ecommerce_dagster.bruin.model.asset import ColumnCheck, Settings, Text, Texts
from ecommerce_dagster.bruin.yaml.node import Node, filled


class Attribute(Node):
    """A column that several tables share: defined once, extended by name."""

    label = "a glossary attribute"
    separable = True

    name: Text = ""
    type: Text = ""
    description: Text = ""
    primary_key: bool | None = None
    checks: tuple[ColumnCheck, ...] = ()
    meta: Settings = {}


class Entity(Node):
    """A thing of the business, with its attributes by key."""

    label = "a glossary entity"
    separable = True

    name: Text = ""
    description: Text = ""
    domains: Texts = ()
    attributes: Annotated[dict[str, Attribute], BeforeValidator(filled)] = {}


class Domain(Node):
    """A part of the business, with those who answer for it."""

    label = "a glossary domain"
    separable = True

    name: Text = ""
    description: Text = ""
    parent_domain: Text | None = None
    owners: Texts = ()
    tags: Texts = ()
    contact: tuple[dict[str, Any], ...] = ()


class Glossary(Node):
    """`glossary.yml`: the words of the business."""

    label = "a glossary"
    separable = True

    domains: Annotated[dict[str, Domain], BeforeValidator(filled)] = {}
    entities: Annotated[dict[str, Entity], BeforeValidator(filled)] = {}
