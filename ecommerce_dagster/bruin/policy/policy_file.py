"""`policy.yml`: what a team asks of all its assets, beyond what makes them run."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ecommerce_dagster.bruin.model.asset import Asset, Text, Texts
from ecommerce_dagster.bruin.policy.expression import answer, compiled
from ecommerce_dagster.bruin.policy.functions import ExpressionError
from ecommerce_dagster.bruin.policy.rules import (
    ASSET_RULES,
    PIPELINE_RULES,
    Judged,
    Violation,
)
from ecommerce_dagster.bruin.policy.view import shown, view_of_asset, view_of_pipeline
from ecommerce_dagster.bruin.problems import ProblemLog, did_you_mean
from ecommerce_dagster.bruin.project import Project, find_upwards
from ecommerce_dagster.bruin.yaml.node import Node
from ecommerce_dagster.bruin.yaml.parsing import parse_file

_FILES = ("policy.yml", "policy.yaml")
_RULE = "valid-policy"
_SELECTORS = ("path", "pipeline", "asset", "tag")


class CustomRule(Node):
    """A condition that every asset, or the pipeline, must meet."""

    label = "a custom rule"

    name: Text
    description: Text = ""
    criteria: Text
    target: Literal["asset", "pipeline"] = "asset"


class Ruleset(Node):
    """Names of rules, for whatever all selectors match: regular expressions, of a whole path or
    name, or of some part of the tags."""

    label = "a ruleset"
    separable = True

    name: Text = ""
    selector: tuple[dict[str, Text], ...] = ()
    rules: Texts = ()


class Policy(Node):
    """`policy.yml`."""

    label = "a policy"
    separable = True

    custom_rules: tuple[CustomRule, ...] = ()
    rulesets: tuple[Ruleset, ...] = ()


def lint_policy(
    project: Project, log: ProblemLog, returned: Mapping[str, Collection[str]] | None = None
) -> None:
    """Report what breaks the nearest `policy.yml` above the pipeline.

    `returned` has the columns that queries return, by asset, as far as they are known.
    """
    path = find_upwards(project.directory, _FILES)
    policy = parse_file(Policy, path, log) if path is not None else None
    if path is not None and policy is not None:
        _Judge(policy, path.parent, Judged(project, returned or {}), log).run()


class _Judge:
    """Paths count from `root`, the folder of the policy."""

    def __init__(self, policy: Policy, root: Path, judged: Judged, log: ProblemLog) -> None:
        self._policy, self._root, self._judged, self._log = policy, root, judged, log
        self._project = judged.project
        self._pipeline = view_of_pipeline(self._project, root)
        self._custom = self._readable_rules()

    def run(self) -> None:
        for ruleset in self._policy.rulesets:
            if not self._can_select(ruleset):
                continue
            for index, name in enumerate(ruleset.rules):
                self._apply(name, ruleset, index)

    def _readable_rules(self) -> dict[str, CustomRule]:
        found: dict[str, CustomRule] = {}
        for rule in self._policy.custom_rules:
            if rule.name in found or rule.name in {**ASSET_RULES, **PIPELINE_RULES}:
                message = f"there is a rule '{rule.name}' already; give this one another name"
                self._log.error(*rule.at("name"), _RULE, message)
                continue
            found[rule.name] = rule
            try:
                compiled(rule.criteria)
            except ExpressionError as error:
                self._report_unreadable(rule, error)
                found.pop(rule.name)
        return found

    def _report_unreadable(self, rule: CustomRule, error: ExpressionError) -> None:
        message = f"the rule '{rule.name}' cannot be answered: {error}"
        self._log.error(*rule.at("criteria"), _RULE, message)

    def _can_select(self, ruleset: Ruleset) -> bool:
        """Whether the selectors can be read. Those that cannot are reported."""
        errors = len(self._log.errors)
        for index, selector in enumerate(ruleset.selector):
            for key, pattern in selector.items():
                at = ruleset.at("selector", index, key)
                if key not in _SELECTORS:
                    message = f"unknown selector '{key}'; {did_you_mean(key, _SELECTORS)}"
                    self._log.error(*at, _RULE, message)
                    continue
                try:
                    re.compile(pattern)
                except re.error as error:
                    message = f"'{key}' is not a regular expression: {error}"
                    self._log.error(*at, _RULE, message)
        return len(self._log.errors) == errors

    def _apply(self, name: str, ruleset: Ruleset, index: int) -> None:
        for at, message in self._violations(name, ruleset, index):
            self._log.error(*at, name, message)

    def _violations(self, name: str, ruleset: Ruleset, index: int) -> Iterator[Violation]:
        project, custom = self._project, self._custom.get(name)
        assets = [asset for asset in project.assets if self._selects(ruleset, asset)]
        is_about_pipeline = self._selects(ruleset, None)
        if name in ASSET_RULES:
            for asset in assets:
                yield from ASSET_RULES[name](asset, self._judged)
        elif name in PIPELINE_RULES:
            yield from PIPELINE_RULES[name](project) if is_about_pipeline else ()
        elif custom is not None:
            whole = [None] if is_about_pipeline else []
            yield from self._broken(custom, assets if custom.target == "asset" else whole)
        elif all(rule.name != name for rule in self._policy.custom_rules):
            known = [*ASSET_RULES, *PIPELINE_RULES, *self._custom]
            message = f"unknown rule '{name}'; {did_you_mean(name, known)}"
            self._log.error(*ruleset.at("rules", index), _RULE, message)

    def _broken(self, rule: CustomRule, targets: Sequence[Asset | None]) -> Iterator[Violation]:
        names = {"pipeline": self._pipeline, "var": dict(self._project.variables)}
        try:
            for asset in targets:
                if asset is not None:
                    names["asset"] = view_of_asset(asset, self._root)
                if not answer(rule.criteria, names):
                    whom = asset if asset is not None else self._project.pipeline
                    what = rule.description or f"expected {rule.criteria}"
                    yield whom.at("name"), f"'{whom.name}': {what}"
        except ExpressionError as error:
            self._report_unreadable(rule, error)

    def _selects(self, ruleset: Ruleset, asset: Asset | None) -> bool:
        """Whether a ruleset is about an asset, or about the pipeline itself."""
        whom = asset or self._project.pipeline
        values = {
            "path": [shown(whom.path, self._root), str(whom.path)],
            "pipeline": [self._project.pipeline.name],
            "asset": [asset.name] if asset is not None else [],
            "tag": [" ".join(whom.tags)],
        }
        return all(
            any(
                (re.search if key == "tag" else re.fullmatch)(pattern, text) for text in values[key]
            )
            for selector in ruleset.selector
            for key, pattern in selector.items()
        )
