"""A SQL asset: its rendered query into a table or a view, or its script as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import duckdb

from ecommerce_dagster.bruin.model.asset import Asset, Hook
from ecommerce_dagster.bruin.model.interval import Interval, yesterday
from ecommerce_dagster.bruin.templates.render import RenderError
from ecommerce_dagster.bruin.yaml.located import Position
from ecommerce_dagster.errors import BruinError
from ecommerce_dagster.sql.load_result import LoadError, LoadResult
from ecommerce_dagster.sql.plan import WriteOptions
from ecommerce_dagster.sql.statements import ScriptError
from ecommerce_dagster.sql.strategies.registry import strategy_name
from ecommerce_dagster.warehouses.base import Target

# A store that answers 503, a file that is not there, a full disk, another process's memory: no
# mistakes in the query.
_FROM_OUTSIDE = (duckdb.HTTPException, duckdb.IOException, duckdb.OutOfMemoryException)


class AssetError(BruinError):
    """An asset that cannot be built: `path:line: what is wrong`."""


class MistakeError(AssetError):
    """An asset that cannot be built until a file is changed: trying again is of no use."""


class OutsideError(AssetError):
    """An asset that could not be built this time, for a reason that is not in its file."""


@dataclass(frozen=True)
class SqlBuild:
    """How to build one SQL asset in one run. Call it with the place for its table."""

    asset: Asset
    render: Callable[[str], str]
    interval: Interval | None = None
    full_refresh: bool = False
    strict_window: bool = False

    def __call__(self, target: Target) -> LoadResult:
        asset = self.asset
        if asset.hooks.pre and asset.materialization.type != "none":
            # As in Bruin, where hooks may make tables beside that of the asset.
            target.ensure_schema(asset.name)
        before = self._run_hooks(target, asset.hooks.pre)
        at = Position(asset.body_path, asset.body_line)
        with self._located(target, asset.body, at) as query:
            loaded = self._build(target, query)
        after = self._run_hooks(target, asset.hooks.post)
        steps = (*before, *loaded.statements, *after)
        return replace(loaded, statements=steps)

    def _build(self, target: Target, query: str) -> LoadResult:
        asset = self.asset
        if asset.materialization.type == "table" and strategy_name(asset) == "ddl":
            return target.declare_table(asset)
        if not asset.body.strip():
            raise LoadError("the file has no query below its header")
        match asset.materialization.type:
            case "none":
                return LoadResult(statements=tuple(target.run_script(query)))
            case "view":
                return target.create_view(asset, query)
        return target.fill_from_query(asset, query, self._filling())

    def _filling(self) -> WriteOptions:
        strategy = strategy_name(self.asset)
        by_window = strategy == "time_interval"
        # A partition is rebuilt, not the table around it: that would lose all other partitions.
        one_partition = by_window and self.strict_window
        return WriteOptions(
            strategy,
            # Without an interval templates see yesterday, so that is what the query returns.
            window=self.interval or (yesterday() if by_window else None),
            full_refresh=self.full_refresh and not one_partition,
            only_window=one_partition,
        )

    def _run_hooks(self, target: Target, hooks: Iterable[Hook]) -> tuple[str, ...]:
        done: list[str] = []
        for hook in hooks:
            with self._located(target, hook.query, hook.text_at("query")) as query:
                done += target.run_script(query)
        return tuple(done)

    @contextmanager
    def _located(self, target: Target, template: str, at: Position) -> Iterator[str]:
        """The rendered template. What goes wrong with it is an AssetError at its line of the file,
        as far as rendering left the lines alone."""
        line = at.line
        try:
            query = self.render(template)
            yield query
        except RenderError as error:
            raise AssetError(f"{at.path}:{line + error.line - 1}: {error}") from None
        except ScriptError as error:
            lines = template.count("\n")
            if error.line is not None and query.count("\n") == lines:
                line += min(error.line - 1, lines)
            raise _kind_of(error)(f"{at.path}:{line}: {error}") from error
        except LoadError as error:
            raise _kind_of(error)(f"{at.path}:{line}: {error}") from error
        except target.errors as error:
            raise _kind_of(error)(f"{at.path}:{line}: {target.error_message(error)}") from error


def _kind_of(error: Exception) -> type[AssetError]:
    is_outside = isinstance(error, _FROM_OUTSIDE) or isinstance(error.__cause__, _FROM_OUTSIDE)
    return OutsideError if is_outside else AssetError
