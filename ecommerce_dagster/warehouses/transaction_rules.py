"""Statements that end the transaction in which a table is built and checked, or reach past it.

They are known by how they begin, before anything runs. What is hidden from that is found in the
run: the code that commits makes sure that the transaction is the one that it began.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.sql.checks import checks_of
from ecommerce_dagster.sql.sql_text import SqlText
from ecommerce_dagster.sql.statements import (
    DUCKDB_END,
    FOREIGN_END,
    ScriptError,
    Statement,
    statements,
)
from ecommerce_dagster.warehouses.sql_asset import AssetError

_RULE = "keeps-transaction"
# BEGIN, COMMIT and DETACH are left out when a script runs.
_ENDS_IN_DUCKDB = re.compile(
    rf"{DUCKDB_END.pattern}|(FORCE )?CHECKPOINT\b|CALL (FORCE_)?CHECKPOINT\b"
)
_ENDS_IN_POSTGRES = re.compile(
    rf"{FOREIGN_END.pattern}|VACUUM\b|(CREATE|DROP) (DATABASE|TABLESPACE|SUBSCRIPTION)\b"
    r"|ALTER SYSTEM\b|(CREATE (UNIQUE )?|DROP )INDEX CONCURRENTLY\b|DISCARD ALL\b|CLUSTER$"
    r"|REINDEX (\(.*?\) ?)?((DATABASE|SYSTEM|SCHEMA)\b|(TABLE|INDEX) CONCURRENTLY\b)"
)
_WRITES_FILES = re.compile(r"EXPORT DATABASE\b|COPY (\(|\S+ (\(.*?\) ?)?TO\b)")


def may_commit_early(asset: Asset) -> bool:
    """Whether what an asset does may be public before its checks: its file says so, or it has none
    that could keep it back."""
    return asset.is_always_published or not any(check.blocking for check in checks_of(asset))


def refused(asset: Asset, error: BaseException) -> AssetError:
    """What to tell about an asset that DuckDB could not build in one transaction."""
    where = "" if isinstance(error, AssetError) else f"{asset.path}:{asset.line}: "
    return AssetError(f"{where}{error}\n{asset.name} keeps its rows. {_ADVICE}")


def require_same_transaction(asset: Asset, begun: object, now: object) -> None:
    """Compare the numbers of the transaction in which a build began and of the one that is to be
    committed. Raises AssetError."""
    if begun != now:
        raise AssetError(
            f"{asset.path}:{asset.line}: a hook or the script ended the transaction of the table: "
            f"rows of {asset.name} may be public although no check was asked. Look at them, and "
            "take out what commits or rolls back"
        )


def lint_transactions(
    asset: Asset, platform: str, texts: Sequence[SqlText], log: ProblemLog
) -> None:
    """Report what of the hooks and the script of an asset cannot be in its transaction (an error),
    and what a failed check would not undo (a warning)."""
    ends = _ENDS_IN_POSTGRES if platform == "postgres" else _ENDS_IN_DUCKDB
    for text, rendered, statement in _of_scripts(asset, platform, texts):
        place = text.place(rendered, statement.skipped + 1)
        if found := ends.match(statement.beginning):
            words = found.group().strip()
            if platform == "postgres":
                log.error(*place, _RULE, f"{words} {_NEVER}")
            elif not may_commit_early(asset):
                log.error(*place, _RULE, f"{words} {_TOGETHER}. {_ADVICE}")
        elif _WRITES_FILES.match(statement.beginning) and not may_commit_early(asset):
            words = statement.beginning.split()[0]
            log.warning(*place, _RULE, f"{words} {_TOO_EARLY}")


_TOGETHER = "cannot be part of the transaction in which a table is built and checked"
_NEVER = f"{_TOGETHER}; do it outside of the pipeline"
_ADVICE = (
    "Leave it out, or write `meta: {publish: always}`: the table is then public before its checks"
)
_TOO_EARLY = (
    "writes a file before the checks of the table, and it stays when one of them fails; do it in "
    "an asset that depends on this one"
)


def _of_scripts(
    asset: Asset, dialect: str, texts: Sequence[SqlText]
) -> Iterator[tuple[SqlText, str, Statement]]:
    """Each statement of the hooks, and of a file that is a script."""
    for text in texts:
        is_script = text.part == "body" and asset.materialization.type == "none"
        for rendered in text.texts if is_script or text.part in {"pre", "post"} else ():
            # One that cannot be cut into statements is reported by who binds it.
            with suppress(ScriptError):
                for statement in statements(rendered, dialect):
                    yield text, rendered, statement
