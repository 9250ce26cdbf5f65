"""Keys and settings that have no effect here, each reported once in a pipeline."""

from __future__ import annotations

from ecommerce_dagster.bruin.on_off import switched
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.sql.checks import checks_of

_RULE = "not-done-here"
_BACKEND = "BRUIN_SECRETS_BACKEND"


def lint_not_done(project: Project, log: ProblemLog) -> None:
    """Report retries of checks, a backend of secrets, and tables in a read-only database."""
    _lint_retries(project, log)
    _lint_read_only(project, log)
    backend = variables_for(project.connections.path).get(_BACKEND)
    if backend:
        message = (
            f"{_BACKEND} is '{backend}', and no backend is asked here; write the secrets as "
            "${NAME} in .bruin.yml and set them in the environment"
        )
        log.warning(*project.pipeline.at(), _RULE, message)


def _lint_retries(project: Project, log: ProblemLog) -> None:
    """The first of the checks with `retries`."""
    checks = (check.rule for asset in project.assets for check in checks_of(asset))
    rules = [rule for rule in checks if rule.retries]
    if rules:
        more = f" (and of {len(rules) - 1} more)" if len(rules) > 1 else ""
        message = (
            f"`retries` of the check '{rules[0].name}'{more} do nothing: it is asked of rows that "
            "do not change until it is answered; remove it"
        )
        log.warning(*rules[0].at("retries"), _RULE, message)


def _lint_read_only(project: Project, log: ProblemLog) -> None:
    """The first asset of each connection that is `read_only` and that it would have to write."""
    reported: set[str] = set()
    for asset in project.assets:
        known = ASSET_TYPES.get(asset.type)
        name = project.connection_name(asset)
        found = project.connections.by_name.get(name)
        if known is None or found is None or name in reported or not known.has_table(asset):
            continue
        writes = known.kind not in {"source", "sensor", "empty"}
        if writes and switched(found.settings.get("read_only") or "false") is True:
            reported.add(name)
            message = (
                f"the connection '{name}' is read_only: '{asset.name}' and all other tables in it "
                "cannot be written; remove read_only, or write them to another one"
            )
            log.warning(*asset.at("connection"), _RULE, message)
