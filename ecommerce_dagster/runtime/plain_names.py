"""Names of the files as plain names: letters, digits and `_`."""

from __future__ import annotations

import re

from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.sql.checks import Check

_OTHER = re.compile(r"[^A-Za-z0-9_]+")
# What Dagster takes for a part of a tag.
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)


def slug(text: str) -> str:
    """`Validate sizes!` is validate_sizes."""
    return _OTHER.sub("_", text.strip()).strip("_").lower() or "_"


def tag_of(word: str) -> str:
    """A word as the key or the value of a tag: of `two words` two_words."""
    return word if _TAG.fullmatch(word) else slug(word)[:63]


def key_parts(name: str) -> tuple[str, ...]:
    """The parts of an asset's key: of `raw.my-orders` raw and my_orders."""
    return tuple(_OTHER.sub("_", part) for part in name.split(".") if part)


def asset_key_parts(name: str, project: Project) -> tuple[str, ...]:
    """The parts of the key of an asset, of `project` or of another pipeline, in Dagster."""
    found = project.keys.get(name)
    return default_key_parts(name, project) if found is None else found


def default_key_parts(name: str, project: Project) -> tuple[str, ...]:
    """Those that it has where no translator says otherwise."""
    asset = project.by_name.get(name)
    external = asset.external_key if asset is not None else ()
    return external or (*project.key_prefix, *key_parts(name))


def job_name(project: Project) -> str:
    """The job of a pipeline, with which the names of its other jobs, its schedules and its sensors
    begin: `dev_sales` of the copy dev of the pipeline sales."""
    return in_copy(slug(project.pipeline.name), project)


def in_copy(name: str, project: Project) -> str:
    """A name that must differ between copies of a pipeline, as the key of a resource."""
    return "_".join([*map(slug, project.key_prefix), name])


def check_name(check: Check) -> str:
    """`email__not_null` for a rule of a column, the slug of its name for a custom check."""
    _, where, name = check.id.split(":", 2)
    return slug(name) if check.column is None else f"{slug(where)}__{slug(name)}"


def resource_key(connection: str) -> str:
    """The connection pg-default is the resource pg_default."""
    return slug(connection)
