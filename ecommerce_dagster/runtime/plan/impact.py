"""What the changes of a pipeline's files do to its tables, column by column.

    plan = compare(old, new)

What cannot be proven to stay as it is counts as changed: so do all columns of a table whose rows
may be others, and whatever a script, a hook, a macro or Python reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.platforms import dialect_of
from ecommerce_dagster.bruin.problems import ProblemLog, listed
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.plan.definitions import Change, changes_of, files_of
from ecommerce_dagster.runtime.plan.template_comparison import can_be_compared, is_same_text
from ecommerce_dagster.runtime.plan.template_environment import Shared
from ecommerce_dagster.sql.lineage.clauses import changed_clauses
from ecommerce_dagster.sql.lineage.effects import EVERYTHING, NONE, Effect, Level, effect_of
from ecommerce_dagster.sql.lineage.parts import Columns, Part, parts_of, words_of
from ecommerce_dagster.sql.lineage.writes import written_tables
from ecommerce_dagster.sql.sql_text import texts_of
from ecommerce_dagster.sql.strategies.registry import strategy_name
from ecommerce_dagster.sql.used_tables import key_of
from ecommerce_dagster.validation.project import bind_project
from ecommerce_dagster.validation.schema_only import Schema, SchemaOnlyWarehouse

Verdict = Literal["unaffected", "added", "changed", "breaking", "removed"]

_VERDICTS: Mapping[Level, Verdict] = {
    Level.SAME: "unaffected",
    Level.ADDED: "added",
    Level.CHANGED: "changed",
    Level.RETYPED: "breaking",
    Level.GONE: "breaking",
}
# A row of the table is made of what others were before.
_STATEFUL = {"merge", "scd2_by_column", "scd2_by_time"}
_MACROS = {"macro", "function"}
_MOST_FILES = 5


@dataclass(frozen=True)
class Side:
    """A pipeline before or after the changes.

    `files` are the fingerprints of the other files of its assets, and `shared` what their templates
    could use, by their names. Those of an asset that is not in it are as they are now.
    """

    project: Project
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    shared: Mapping[str, Shared] = field(default_factory=dict)

    @property
    def schemas(self) -> Mapping[str, Schema]:
        """What is known of the columns of its tables, by their keys."""
        return self._bound[0]

    @property
    def broken(self) -> frozenset[str]:
        """The assets whose queries do not bind."""
        return self._bound[1]

    @cached_property
    def _bound(self) -> tuple[Mapping[str, Schema], frozenset[str]]:
        found: dict[str, Schema] = {}
        log = ProblemLog()

        def keep(empty: SchemaOnlyWarehouse) -> None:
            for asset in self.project.assets:
                schema = empty.schema(key_of(asset.name))
                if schema is not None and dialect_of(asset.type) in {None, "duckdb"}:
                    found[key_of(asset.name)] = schema

        bind_project(self.project, log, source_columns=lambda asset: None, asks=False, then=keep)
        wrong = {problem.path for problem in log.errors}
        broken = {a.name for a in self.project.assets if {a.path, a.body_path} & wrong}
        return found, frozenset(broken)

    def files_of(self, asset: Asset) -> Mapping[str, str]:
        """The fingerprints of the other files of an asset."""
        known = self.files.get(asset.name)
        return files_of(asset, self.project) if known is None else known

    def shared_of(self, asset: Asset) -> Shared:
        """What the templates of an asset can use beside its own file."""
        return self.shared.get(asset.name) or self._shared

    def definition_of(self, asset: Asset) -> dict[str, Any]:
        """What makes the table of an asset, as JSON: its file, and what it takes from others."""
        return {
            "asset": asset.model_dump(mode="json"),
            "files": dict(self.files_of(asset)),
            "shared": asdict(self.shared_of(asset)),
        }

    @cached_property
    def _shared(self) -> Shared:
        return Shared.of(self.project)

    @cached_property
    def texts(self) -> Mapping[str, tuple[str, ...]]:
        """The rendered queries of SQL assets: of a run, and of a full refresh where it differs."""
        found: dict[str, tuple[str, ...]] = {}
        for asset in self.project.assets:
            if dialect_of(asset.type) is not None:
                texts = texts_of(self.project, asset, ProblemLog())
                bodies = [text for text in texts if text.part == "body"]
                found[asset.name] = tuple(bodies[0].texts) if bodies else ()
        return found

    @cached_property
    def parts(self) -> Mapping[str, list[list[Part]]]:
        """The parts of each query, for each of the texts."""
        found: dict[str, list[list[Part]]] = {}
        outputs: dict[str, Columns] = {}

        def columns_of(key: str) -> Columns:
            schema = self.schemas.get(key)
            if schema is not None and schema.complete:
                return tuple(column.lower() for column in schema.columns)
            return outputs.get(key)

        for asset in self.project.assets:
            dialect = dialect_of(asset.type)
            if dialect is None:
                continue
            key = key_of(asset.name)
            names = [key_of(d.asset) for d in asset.depends if d.asset]
            found[asset.name] = [
                parts_of(text, key, dialect, columns_of, names) for text in self.texts[asset.name]
            ]
            last = [parts[-1].columns for parts in found[asset.name]]
            outputs[key] = last[0] if last and all(each == last[0] for each in last) else None
            self._columns[key] = columns_of(key)
        return found

    @cached_property
    def _columns(self) -> dict[str, Columns]:
        return {}

    def columns_of(self, key: str) -> Columns:
        """The columns of a table in lower case; None when some are not known."""
        _ = self.parts
        if key in self._columns:
            return self._columns[key]
        schema = self.schemas.get(key)
        complete = schema is not None and schema.complete
        return tuple(c.lower() for c in schema.columns) if schema and complete else None

    @cached_property
    def spelling(self) -> Mapping[str, Mapping[str, str]]:
        """The columns that are known of each asset as they are written, by lower case."""
        found: dict[str, dict[str, str]] = {}
        for asset in self.project.assets:
            key = key_of(asset.name)
            schema = self.schemas.get(key)
            names = [c.name for c in asset.columns if c.name]
            names += [n for n in (self.columns_of(key) or ()) if n.isidentifier()]
            names = [*(schema.columns if schema else ()), *names]
            found[asset.name] = {name.lower(): name for name in reversed(names)}
        return found


@dataclass(frozen=True)
class Impact:
    """What happens to the table of an asset: `columns` by their names, `because` of the changes of
    these assets, of which it may be one itself."""

    asset: str
    verdict: Verdict
    columns: Mapping[str, Verdict]
    because: tuple[str, ...] = ()
    rows: bool = False


@dataclass(frozen=True)
class AssetChange:
    """What changed in the files of an asset."""

    asset: str
    changes: tuple[Change, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its changes."""
        return frozenset(change.kind for change in self.changes)


@dataclass(frozen=True)
class Comparison:
    """The changed assets, and what happens to them and to all that reads them."""

    changes: tuple[AssetChange, ...]
    impacts: tuple[Impact, ...]


def compare(
    old: Side, new: Side, unknown: Collection[str] = (), absent: str = "the asset is new"
) -> Comparison:
    """What changed from one pipeline to another. Of the `unknown` assets it is only known that
    something did; `absent` is said of those that are in the new one only."""
    return _Comparing(old, new, frozenset(unknown), absent).run()


class _Comparing:
    def __init__(self, old: Side, new: Side, unknown: frozenset[str], absent: str) -> None:
        self._old, self._new, self._unknown, self._absent = old, new, unknown, absent
        self._effects: dict[str, Effect] = {}
        self._changes: dict[str, list[Change]] = {}
        self._own: dict[str, Effect] = {}
        self._keys = {key_of(name): name for name in (*old.project.by_name, *new.project.by_name)}

    def run(self) -> Comparison:
        for asset in self._new.project.assets:
            self._changes[asset.name] = list(self._changes_of(asset))
        removed = [a for a in self._old.project.assets if a.name not in self._new.project.by_name]
        for asset in removed:
            self._effects[key_of(asset.name)] = _gone(self._old, asset)
            self._changes[asset.name] = [
                Change("removed", "the asset is gone", asset.path, asset.line)
            ]
        if not any(self._changes.values()):
            return Comparison((), ())
        for _ in range(len(self._new.project.assets) + 1):
            before = dict(self._effects)
            for asset in self._new.project.assets:
                self._effects[key_of(asset.name)] = self._effect(asset)
            if before == self._effects:
                break
        changes = tuple(
            AssetChange(name, tuple(found)) for name, found in self._changes.items() if found
        )
        impacts = [impact for a in self._new.project.assets if (impact := self._impact(a))]
        impacts += [self._removed(asset) for asset in removed]
        return Comparison(changes, tuple(impacts))

    def _changes_of(self, asset: Asset) -> Iterator[Change]:
        old = self._old.project.by_name.get(asset.name)
        if asset.name in self._unknown:
            words = "its definition changed; --against REF tells what"
            yield Change("unknown", words, asset.path, asset.line, Level.CHANGED)
        elif old is None:
            yield Change("new", self._absent, asset.path, asset.line, Level.CHANGED)
        else:
            yield from changes_of(old, asset, self._new.project.glossary)
            yield from self._query(old, asset)
            yield from self._files(old, asset)

    def _files(self, old: Asset, asset: Asset) -> Iterator[Change]:
        before, after = self._old.files_of(old), self._new.files_of(asset)
        names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
        if names:
            words = f"other files that it is made of changed: {listed(names, _MOST_FILES)}"
            yield Change("file", words, asset.path, asset.line, Level.CHANGED)

    def _query(self, old: Asset, asset: Asset) -> Iterator[Change]:
        """The change of a SQL asset's query, and of what its templates use."""
        dialect = dialect_of(asset.type)
        if dialect is None or dialect_of(old.type) is None:
            return
        line = asset.body_line + _first_line(old.body, asset.body, asset)
        shared = self._new.shared_of(asset).differs(self._old.shared_of(old), asset.body)
        if shared:
            at = (asset.body_path, asset.body_line)
            yield Change("template", shared, *at, Level.CHANGED)
        same = is_same_text(old.body, asset.body, dialect)
        if not same and not can_be_compared(old.body, asset.body, dialect):
            words = "the template changed: what it becomes in other runs is not known"
            yield Change("query", words, asset.body_path, line, Level.CHANGED)
        elif not same and self._texts(self._old, asset) != self._texts(self._new, asset):
            yield from self._of_query(old, asset, line)

    def _texts(self, side: Side, asset: Asset) -> list[list[Part]]:
        return side.parts.get(asset.name, [])

    def _of_query(self, old: Asset, asset: Asset, line: int) -> Iterator[Change]:
        """The differences of a query in words; what they do is followed elsewhere."""
        own = self._compare_query(asset, {}) or NONE
        spelt = {**self._old.spelling.get(asset.name, {}), **self._new.spelling[asset.name]}
        dialect = str(dialect_of(asset.type))
        texts = [side.texts[asset.name][:1] for side in (self._old, self._new)]
        before, after = (text[0] if text else "" for text in texts)
        clauses = changed_clauses(before, after, dialect)
        if clauses:
            words = f"the query: {', '.join(clauses)} changed"
            yield Change("query", words, asset.body_path, line)
        for name, level in own.columns.items():
            if level is Level.CHANGED and own.rows and own.of(name) is level and clauses:
                continue
            words = {
                Level.ADDED: "is new",
                Level.GONE: "is gone",
                Level.CHANGED: "is computed in another way",
            }.get(level, "has another type")
            at = asset.body_line + _line_of(name, old.body, asset.body, line - asset.body_line)
            yield Change(
                "query", f"the column {spelt.get(name, name)} {words}", asset.body_path, at
            )
        if not clauses and not own.columns:
            yield Change("query", "the query changed", asset.body_path, line)

    @cached_property
    def _extra(self) -> dict[str, set[str]]:
        """What else assets are made of than their queries say, by their names: assets whose hooks
        or scripts may write into their tables, or make macros that they call."""
        found: dict[str, set[str]] = {}
        makers: set[str] = set()
        for side in (self._old, self._new):
            for asset in side.project.assets:
                text = _statements(asset)
                if not text:
                    continue
                words = words_of(text)
                if words & _MACROS:
                    makers.add(asset.name)
                written = written_tables(text, dialect_of(asset.type) or "duckdb")
                for key, name in self._keys.items():
                    may = _mentions(text, words, key) if written is None else key in written
                    if may and name != asset.name:
                        found.setdefault(name, set()).add(asset.name)
        for asset in self._new.project.assets:
            if self._has_macros(asset):
                found.setdefault(asset.name, set()).update(makers - {asset.name})
        return found

    def _has_macros(self, asset: Asset) -> bool:
        """Whether the query of an asset calls functions that may read any table."""
        cuts = self._new.parts.get(asset.name, [])
        return any(part.has_macros for cut in cuts for part in cut)

    def _effect(self, asset: Asset) -> Effect:
        """What happens to the table of an asset, as far as the effects on others are known."""
        changes = self._changes[asset.name]
        rows = max((change.rows for change in changes), default=Level.SAME)
        reads = self._read(asset)
        writers = self._extra.get(asset.name, set())
        if any(self._effects.get(key_of(name)) or self._changed(name) for name in writers):
            rows = max(rows, Level.CHANGED)
        if asset.name in self._new.broken - self._old.broken:
            rows = Level.GONE
        if reads and self._has_macros(asset):  # they may read whatever the file depends on
            rows = max(rows, Level.CHANGED)
        query = self._compare_query(asset, self._effects)
        if query is None:
            lost = max((effect.worst for effect in reads.values()), default=Level.SAME)
            query = NONE if lost is Level.SAME else replace(EVERYTHING, rows=lost, others=lost)
        elif (asset.hooks.pre or asset.hooks.post) and (query or self._hooks_read(asset)):
            rows = max(rows, Level.CHANGED)
        columns = dict(query.columns)
        for change in changes:
            for name, level in change.columns.items():
                columns[name] = max(columns.get(name, Level.SAME), level)
        rows = max(rows, query.rows)
        found = replace(
            query,
            rows=rows,
            order=query.order or rows > Level.SAME,
            columns={name: level for name, level in columns.items() if level},
            others=max(query.others, rows),
        )
        return self._settled(asset, found)

    def _changed(self, name: str) -> bool:
        return any(change.rows for change in self._changes.get(name, ()))

    def _read(self, asset: Asset) -> dict[str, Effect]:
        """The effects on what an asset without a query reads, as far as its file says."""
        found = {key_of(d.asset) for d in asset.depends if d.asset}
        if asset.type == "python":
            words = words_of(asset.body)
            found |= {key for key in self._keys if _mentions(asset.body, words, key)}
        keys = found - {key_of(asset.name)}
        return {key: self._effects[key] for key in sorted(keys) if self._effects.get(key)}

    def _hooks_read(self, asset: Asset) -> bool:
        text = _statements(asset)
        words = words_of(text)
        return any(
            self._effects.get(key) and _mentions(text, words, key)
            for key, name in self._keys.items()
            if name != asset.name
        )

    def _compare_query(self, asset: Asset, effects: Mapping[str, Effect]) -> Effect | None:
        """What happens to the result of an asset's query; None where there is none to compare."""
        is_declared = asset.materialization.type == "table" and strategy_name(asset) == "ddl"
        if is_declared:
            return NONE
        after = self._texts(self._new, asset)
        if not after:
            return None
        before = self._texts(self._old, asset) or [[]]
        found = NONE
        for number, parts in enumerate(after):
            old = {part.name: part for part in before[min(number, len(before) - 1)]}
            known = dict(effects)
            for cut in parts:
                is_script = asset.materialization.type == "none"
                part = replace(cut, outputs=None, opaque=True) if is_script else cut
                known[part.name] = effect_of(
                    part, _like(old.get(part.name), part), known, self._may_have
                )
            found = _worse(found, known[parts[-1].name])
        return found

    def _may_have(self, key: str) -> Columns:
        found: list[str] = []
        for side in (self._old, self._new):
            if key in self._keys and self._keys[key] not in side.project.by_name:
                continue
            columns = side.columns_of(key)
            if columns is None:
                known = self._part_columns(key)
                if known is None:
                    return None
                columns = known
            found += columns
        return tuple(found)

    def _part_columns(self, key: str) -> Columns:
        """The columns of a part of a query, before and after."""
        name = next((n for k, n in self._keys.items() if key.startswith(f"{k}/")), None)
        if name is None:
            return None
        cuts = [cut for side in (self._old, self._new) for cut in side.parts.get(name, [])]
        parts = [part for cut in cuts for part in cut if part.name == key]
        columns = [part.columns for part in parts]
        return None if not columns or None in columns else sum((c or () for c in columns), ())

    def _settled(self, asset: Asset, effect: Effect) -> Effect:
        """An effect on a query as one on its table: by the way that it is loaded, and its types."""
        if not effect:
            return effect
        how = asset.materialization
        strategy = strategy_name(asset) if how.type == "table" else ""
        columns, rows = dict(effect.columns), effect.rows
        merged = any(column.merge_sql for column in asset.columns)
        stateful = strategy in _STATEFUL or strategy.startswith("datavault") or merged
        key = (how.incremental_key or "").lower()
        if stateful or (key and effect.of(key)):
            rows = max(rows, Level.CHANGED)
        if rows is not Level.GONE:
            columns |= self._by_schema(asset, columns)
        self._own[asset.name] = replace(effect, rows=rows, columns=columns)
        if old := self._old.schemas.get(key_of(asset.name)):
            new = self._new.schemas.get(key_of(asset.name))
            for name, level in columns.items():
                one, other = old.type_of(name), new.type_of(name) if new else None
                if level is Level.RETYPED and one is not None and one == other:
                    columns[name] = Level.CHANGED
        rows = Level.CHANGED if rows is Level.RETYPED else rows
        return replace(
            effect,
            rows=rows,
            order=effect.order or rows > Level.SAME,
            columns=columns,
            others=max(rows, min(effect.others, Level.CHANGED) if rows is not Level.GONE else rows),
        )

    def _by_schema(self, asset: Asset, columns: Mapping[str, Level]) -> dict[str, Level]:
        """What is known by the columns of the table before and after."""
        key = key_of(asset.name)
        old, new = (side.schemas.get(key) for side in (self._old, self._new))
        if old is None or new is None or asset.name not in self._old.project.by_name:
            return {}
        found: dict[str, Level] = {}
        names = [[column.lower() for column in schema.columns] for schema in (old, new)]
        for name in dict.fromkeys((*names[0], *names[1])):
            one, other = old.type_of(name), new.type_of(name)
            if name not in names[1] and new.complete:
                found[name] = Level.GONE
            elif name not in names[0] and old.complete:
                found[name] = Level.ADDED
            elif one is not None and other is not None and one != other:
                found[name] = max(columns.get(name, Level.SAME), Level.RETYPED)
        return found

    def _impact(self, asset: Asset) -> Impact | None:
        name, effect = asset.name, self._own.get(asset.name, NONE)
        old = self._old.project.by_name.get(name)
        reads = self._because(asset)
        if not effect and not reads:
            return None
        spelt = {**self._new.spelling[name]}
        if old is not None:
            spelt = {**self._old.spelling[name], **spelt}
        own = self._changes[name]
        columns: dict[str, Verdict] = {}
        for lower, written in spelt.items():
            level = effect.columns.get(lower, Level.SAME)
            if level is Level.GONE and self._is_removed(asset, lower):
                columns[written] = "removed"
            elif level is Level.ADDED:
                columns[written] = "added"
            else:
                columns[written] = _VERDICTS[max(effect.of(lower), level)]
        if old is None:
            return Impact(name, "added", dict.fromkeys(columns, "added"), (name,), rows=True)
        because = (*([name] if own else ()), *reads)
        order: list[Verdict] = ["unaffected", "added", "changed", "removed", "breaking"]
        found = [*columns.values(), _VERDICTS[max(effect.rows, effect.others)]]
        worst = max(found, key=order.index)
        return Impact(name, worst, columns, tuple(dict.fromkeys(because)), bool(effect.rows))

    def _is_removed(self, asset: Asset, column: str) -> bool:
        known = self._new.columns_of(key_of(asset.name))
        names = self._new.spelling[asset.name] if known is None else known
        return column not in names or any(
            change.columns.get(column) is Level.GONE for change in self._changes[asset.name]
        )

    def _because(self, asset: Asset) -> list[str]:
        """The assets with an effect that this one reads."""
        cuts = self._new.parts.get(asset.name, [])
        keys = {key for cut in cuts for part in cut for key in part.tables}
        keys |= set(self._read(asset)) | {key_of(n) for n in self._extra.get(asset.name, ())}
        names = (self._keys[key] for key in sorted(keys) if key in self._keys)
        return [name for name in names if name != asset.name and self._effects.get(key_of(name))]

    def _removed(self, asset: Asset) -> Impact:
        names = self._old.spelling[asset.name].values()
        return Impact(asset.name, "removed", dict.fromkeys(names, "removed"), (asset.name,), True)


def _gone(side: Side, asset: Asset) -> Effect:
    columns = dict.fromkeys(side.spelling[asset.name], Level.GONE)
    return Effect(Level.GONE, order=True, columns=columns, others=Level.GONE)


def _like(before: Part | None, part: Part) -> Part | None:
    return replace(before, outputs=None, opaque=True) if before and part.opaque else before


def _worse(one: Effect, other: Effect) -> Effect:
    names = dict.fromkeys((*one.columns, *other.columns))
    columns = {
        name: max(each.columns.get(name, Level.SAME) for each in (one, other)) for name in names
    }
    return Effect(
        max(one.rows, other.rows),
        order=one.order or other.order,
        columns=columns,
        others=max(one.others, other.others),
    )


def _statements(asset: Asset) -> str:
    """What of an asset is run as it is written: hooks, and the query of a script."""
    texts = [hook.query for hook in (*asset.hooks.pre, *asset.hooks.post)]
    is_script = dialect_of(asset.type) is not None and asset.materialization.type == "none"
    return "\n;\n".join([*texts, *([asset.body] if is_script else ())])


def _mentions(text: str, words: Collection[str], key: str) -> bool:
    """Whether a text may name a table: with its schema, if it has one."""
    return bool(text) and words_of(key.removeprefix('"main".')) <= set(words)


def _first_line(old: str, new: str, asset: Asset) -> int:
    """The first line (from 0) of a text that differs."""
    return next(iter(_changed_lines(old, new)), 0)


def _changed_lines(old: str, new: str) -> Sequence[int]:
    before = {" ".join(line.split()) for line in old.splitlines()}
    lines = [" ".join(line.split()) for line in new.splitlines()]
    return [n for n, line in enumerate(lines) if line and line not in before]


def _line_of(name: str, old: str, new: str, otherwise: int) -> int:
    """The line (from 0) that changed and names a column, else the first that changed."""
    lines = new.splitlines()
    named = [n for n in _changed_lines(old, new) if name in words_of(lines[n])]
    return named[0] if named else otherwise
