"""`ecommerce run`: one Dagster run in this process, recorded in the local instance."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import click
import dagster as dg
from click.core import ParameterSource
from dagster import DagsterEventType

from ecommerce_dagster import local
from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval, yesterday
from ecommerce_dagster.bruin.problems import did_you_mean
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.bruin.templates.variables import require_variant
from ecommerce_dagster.cli.garbage_collector import paused_collector
from ecommerce_dagster.cli.instance import dagster_instance
from ecommerce_dagster.cli.local_services import local_services_of
from ecommerce_dagster.cli.outcome import (
    AssetOutcome,
    CheckOutcome,
    Spent,
    as_json,
    succeeded,
    unanswered,
)
from ecommerce_dagster.cli.planning import planned
from ecommerce_dagster.cli.progress import Reporter, console_of
from ecommerce_dagster.cli.run_continue import PIPELINE_TAG, Unfinished, last_run
from ecommerce_dagster.cli.run_tried import as_tried
from ecommerce_dagster.cli.selection import Selection, SelectionError, select
from ecommerce_dagster.cli.workspace import interval_of, located, opened
from ecommerce_dagster.orchestration.asset_keys import asset_key, check_key, op_name
from ecommerce_dagster.orchestration.build import definitions_of
from ecommerce_dagster.orchestration.partitions import partitions_of, tags_for
from ecommerce_dagster.orchestration.resources import resources_of
from ecommerce_dagster.orchestration.run_launcher import run_heartbeat
from ecommerce_dagster.orchestration.status import reason_of
from ecommerce_dagster.orchestration.terminal_run import execute
from ecommerce_dagster.runtime.asset_types import ASSET_TYPES, unsupported
from ecommerce_dagster.runtime.plain_names import job_name
from ecommerce_dagster.runtime.run_tags import (
    CHANGES_TAG,
    COMMAND_TAG,
    FULL_REFRESH_TAG,
    MODIFIERS_TAG,
    RECONCILE_TAG,
    SENSOR_MODE_TAG,
    has_partition,
)
from ecommerce_dagster.runtime.schedule import is_partitioned
from ecommerce_dagster.sql.checks import Check, checks_of
from ecommerce_dagster.warehouses.duckdb.database import WAITING
from ecommerce_dagster.warehouses.duckdb.published_copy import OUTDATED

# Options by which a run is of other files, values or databases than those of the code location.
_OTHER_PROJECT = ("config_file", "environment", "variables", "variant")
_COMMAND_LENGTH = 100
_CHANGES_LENGTH = 400
_INTERRUPTED = "DagsterExecutionInterruptedError"


@dataclass(frozen=True)
class RunRequest:
    """What to run, and how.

    `tried` publishes tables that were tried in place of building them again.
    `only` leaves out the checks ("main") or everything else ("checks"); `single_check` is the id of
    the one check to run. `proceed` does what the last run did not finish, as that was to be done.
    `changes` are those of the files that it is about, in words.
    `command` is the command that asks for it; it `is_of_code_location` when the pipeline is as
    the code location has it, so that the run can be executed again there.
    """

    selection: Selection = field(default_factory=Selection)
    interval: Interval | None = None
    full_refresh: bool = False
    reconcile: bool = False
    only: Literal["main", "checks"] | None = None
    single_check: str | None = None
    apply_modifiers: bool = False
    sensor_mode: Literal["once", "wait", "skip"] = "once"
    proceed: bool = False
    profile: bool = False
    tried: bool = False
    changes: str = ""
    command: str = "run"
    is_of_code_location: bool = True

    @property
    def is_about_all(self) -> bool:
        """Whether it asks for everything in the pipeline."""
        is_part = self.only or self.single_check or self.proceed
        return self.selection == Selection() and not is_part


def run_from_options(
    assets: Sequence[str], pipeline: Path | None, options: Mapping[str, Any]
) -> int:
    """`ecommerce run` with the options of its command. The exit code."""
    context = click.get_current_context()
    interval = interval_of(options["start_date"], options["end_date"])
    if options["tried"] and interval is not None:
        raise click.UsageError("--tried is for tables that are built whole, without dates")
    folder, names = located(assets, pipeline)
    project = opened(folder, options)
    require_variant(project.pipeline, options["variant"])
    among, changes = _modified(project, options)
    if among is not None and not among:
        if options["output"] == "json":
            nothing = as_json(project.pipeline.name, interval or yesterday(), [], [])
            print(json.dumps(nothing, indent=2))
        return 0
    request = RunRequest(
        command=_typed(context),
        is_of_code_location=not any(_is_given(context, name) for name in _OTHER_PROJECT),
        selection=Selection(
            assets=names,
            tag=options["tag"],
            excluded_tags=options["exclude_tag"],
            selector=options["selector"],
            downstream=options["downstream"],
            among=among,
            modified=_finder(project, options),
        ),
        interval=interval,
        full_refresh=options["full_refresh"],
        reconcile=options["reconcile"],
        only=options["only"],
        single_check=options["single_check"],
        apply_modifiers=options["apply_interval_modifiers"],
        sensor_mode=options["sensor_mode"],
        proceed=options["proceed"],
        profile=options["profile"],
        tried=options["tried"],
        changes=changes,
    )
    return run_and_report(project, request, options["output"])


def _modified(project: Project, options: Mapping[str, Any]) -> tuple[Sequence[str] | None, str]:
    """The assets that `--modified` or `--modified+` stands for, None without, and why in words,
    which are printed."""
    if not options["modified"] and not options["modified_affected"]:
        return None, ""
    plan = planned(project, options)
    names = plan.changed if not options["modified_affected"] else plan.to_run
    words = f"changed since {plan.since}: {', '.join(plan.changed) or 'nothing'}"
    if more := [name for name in names if name not in plan.changed]:
        words += f"; affected by that: {', '.join(more)}"
    click.echo(words if names else f"{words}; there is nothing to run", err=True)
    return names, words


def _finder(project: Project, options: Mapping[str, Any]) -> Callable[[], Sequence[str]] | None:
    """What finds the assets that `state:modified` stands for; None where that is not written."""
    if "state:" not in (options["selector"] or ""):
        return None
    return lambda: planned(project, options).changed


def _typed(context: click.Context) -> str:
    """The command as it was given, cut to a length that a page shows."""
    words = [str(context.info_name)]
    for parameter in context.command.params:
        if _is_given(context, str(parameter.name)):
            words += _written(parameter, context.params[str(parameter.name)])
    return textwrap.shorten(shlex.join(words), _COMMAND_LENGTH, placeholder=" ...")


def _written(parameter: click.Parameter, value: Any) -> Iterator[str]:
    """A parameter with its values. Those of variables are left out: they may be secret."""
    for each in value if isinstance(value, tuple) else (value,):
        if isinstance(parameter, click.Option):
            yield max(parameter.opts, key=len)
        if parameter.name == "variables":
            yield "..."
        elif each is not True:
            yield str(each)


def _is_given(context: click.Context, parameter: str) -> bool:
    return context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE


def run_and_report(
    project: Project, request: RunRequest | None = None, output: str = "text"
) -> int:
    """Run, and print what happened. The exit code: 0 when everything succeeded and readers see it,
    else 1; 2 when the
    single check that was asked for could not be answered."""
    request = request or RunRequest()
    console = console_of(sys.stderr if output == "json" else sys.stdout)
    unfinished = last_run(project) if request.proceed else None
    selected = _selected(project, request)
    if unfinished is not None:
        selected = unfinished.assets(selected, project)
        request = _continued(request, unfinished)
    reporter = Reporter(console, selected, request.interval)
    if note := _not_waited_for(project, selected):
        reporter.note(note)
    with as_tried(project, selected, request.tried) as taken:
        outcomes, problems = run(taken.project, selected, request, reporter)
        taken.are_published = succeeded(list(outcomes.values()), problems)
    ordered = [outcomes[name] for name in (*project.by_name, *sorted(project.disabled))]
    about = [outcome for outcome in ordered if outcome.name in selected]
    reporter.finish(about, problems)
    if request.profile:
        reporter.profile(about)
    if output == "json":
        interval = request.interval or yesterday()
        print(json.dumps(as_json(project.pipeline.name, interval, ordered, problems), indent=2))
    if request.single_check and unanswered(ordered):
        return 2
    return 0 if succeeded(ordered, problems) else 1


def _selected(project: Project, request: RunRequest) -> list[str]:
    if request.single_check:
        return [_check_called(project, request.single_check).asset.name]
    selected = [
        name
        for name in select(project, request.selection)
        if unsupported(project, project.by_name[name]) is None
        and not _is_only_a_name(project.by_name[name], request)
    ]
    if not selected:
        raise SelectionError("none of the selected assets can run here")
    return selected


def _is_only_a_name(asset: Asset, request: RunRequest) -> bool:
    """Whether other code makes a table and this run does not check it either."""
    return bool(asset.external_key) and (request.only == "main" or not checks_of(asset))


def _not_waited_for(project: Project, selected: Sequence[str]) -> str:
    """In a sentence, what the selected assets depend on and no run of this pipeline makes; empty
    for nothing."""
    found: dict[str, None] = {}
    for dependency in (d for name in selected for d in project.by_name[name].depends):
        upstream = project.by_name.get(dependency.asset)
        key = dependency.external_key or (upstream.external_key if upstream else ())
        if dependency.mode == "full" and (key or dependency.owner):
            found["/".join(key) or dependency.owner] = None
    if not found:
        return ""
    return f"not waited for, since other code or another pipeline makes it: {', '.join(found)}"


def _continued(request: RunRequest, last: Unfinished) -> RunRequest:
    """A request about the days of the run that it goes on with, unless it names others."""
    return replace(
        request,
        interval=request.interval or last.interval,
        full_refresh=request.full_refresh or last.full_refresh,
        reconcile=request.reconcile or last.reconcile,
        apply_modifiers=request.apply_modifiers or last.apply_modifiers,
    )


def _check_called(project: Project, id: str) -> Check:
    checks = {check.id: check for asset in project.assets for check in checks_of(asset)}
    if id not in checks:
        raise SelectionError(f"there is no check '{id}'; {did_you_mean(id, checks)}")
    return checks[id]


def run(
    project: Project,
    selected: Sequence[str],
    request: RunRequest,
    reporter: Reporter,
    recorded_in: Callable[[], AbstractContextManager[dg.DagsterInstance]] = dagster_instance,
) -> tuple[dict[str, AssetOutcome], list[str]]:
    """One Dagster run over the selected assets. The outcome of every asset of the project, and what
    went wrong after them: copies for readers that could not be replaced.

    Raises RunInterrupted when it was stopped.
    """
    tags = run_tags(project, selected, request)
    checks = _checks(project, selected, request)
    outcomes = _expected(project, selected, checks)
    resources = {**resources_of(project), **local_services_of(project.directory).resources()}
    with paused_collector():
        definitions = definitions_of(
            project,
            resources=resources,
            partitioned=has_partition(tags),
            executor=dg.in_process_executor,
        )
    building = request.only != "checks" and not request.single_check
    keys = {asset_key(name, project) for name in selected if not project.by_name[name].external_key}
    if not building and not checks:
        return outcomes, []
    with recorded_in() as instance, reporter:
        run_id, listener = str(uuid.uuid4()), _Listener(project, outcomes, reporter)
        instance.add_event_listener(run_id, listener)
        try:
            with run_heartbeat(instance, run_id):
                execute(
                    definitions,
                    instance,
                    run_id=run_id,
                    tags=tags,
                    assets=keys if building else set(),
                    checks={check_key(check, project) for check in checks},
                    job_name=job_name(project) if keys and request.is_about_all else None,
                    code_location=local.code_location() if request.is_of_code_location else None,
                )
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            listener.interrupted = True
    if listener.interrupted:
        built = sum(outcome.status == "success" for outcome in outcomes.values())
        raise RunInterrupted(
            f"Interrupted. {built} of {len(selected)} assets were finished; the others are as they "
            "were. `ecommerce run --continue` does the rest."
        )
    checked = {check.asset.name for check in checks}
    about = selected if building else [name for name in selected if name in checked]
    _tell_blocked(project, about, outcomes)
    return outcomes, listener.problems


def _tell_blocked(
    project: Project, selected: Sequence[str], outcomes: dict[str, AssetOutcome]
) -> None:
    """What did not run is downstream of what failed. The project's assets are in order."""
    wanted = set(selected)
    for asset in project.assets:
        outcome = outcomes[asset.name]
        if outcome.status != "not_run" or asset.name not in wanted:
            continue
        outcome.status = "upstream_failed"
        upstream = [outcomes[d.asset] for d in asset.depends if d.asset in outcomes]
        causes = ((one.name,) if one.status == "failed" else one.blocked_by for one in upstream)
        outcome.blocked_by = tuple(dict.fromkeys(name for cause in causes for name in cause))


def _checks(project: Project, selected: Sequence[str], request: RunRequest) -> list[Check]:
    """The checks that a run evaluates."""
    if request.single_check:
        return [_check_called(project, request.single_check)]
    if request.only == "main":
        return []
    return [check for name in selected for check in checks_of(project.by_name[name])]


def _expected(
    project: Project, selected: Sequence[str], checks: Sequence[Check]
) -> dict[str, AssetOutcome]:
    outcomes = {asset.name: AssetOutcome(asset.name) for asset in project.assets}
    for name in sorted(project.disabled):
        outcomes[name] = AssetOutcome(name, "skipped", error="it is disabled")
    for asset in project.assets:
        reason = unsupported(project, asset)
        if reason is not None:
            outcomes[asset.name].status, outcomes[asset.name].error = "skipped", reason
        if asset.external_key and asset.name not in selected:
            key = "/".join(asset.external_key)
            outcomes[asset.name].status = "skipped"
            outcomes[asset.name].error = f"other code makes it: in Dagster it is {key}"
    for check in checks:
        outcomes[check.asset.name].checks[check_key(check, project).name] = CheckOutcome(check)
    return outcomes


def run_tags(project: Project, selected: Sequence[str], request: RunRequest) -> dict[str, str]:
    """The tags of a Dagster run for its dates and options, where they change what it does."""
    tags = {PIPELINE_TAG: project.pipeline.name, COMMAND_TAG: request.command}
    if request.changes:
        tags[CHANGES_TAG] = textwrap.shorten(request.changes, _CHANGES_LENGTH, placeholder=" ...")
    assets = [project.by_name[name] for name in selected]
    known = [ASSET_TYPES[asset.type] for asset in assets if asset.type in ASSET_TYPES]
    if any(each.kind == "sensor" for each in known):
        tags[SENSOR_MODE_TAG] = request.sensor_mode
    modifiers = (asset.interval_modifiers for asset in assets)
    if not request.apply_modifiers and any(how.start or how.end for how in modifiers):
        tags[MODIFIERS_TAG] = "false"
    if request.interval is not None:
        partitioned = any(is_partitioned(asset) for asset in assets)
        partitions = partitions_of(project.pipeline) if partitioned else None
        tags |= tags_for(request.interval, partitions)
    if request.full_refresh:
        tags[FULL_REFRESH_TAG] = "true"
    if request.reconcile:
        tags[RECONCILE_TAG] = "true"
    return tags


class RunInterrupted(KeyboardInterrupt):
    """A run was stopped; the text says what was done by then."""


class _Listener:
    """Turns Dagster's events into outcomes as they happen."""

    def __init__(
        self, project: Project, outcomes: dict[str, AssetOutcome], reporter: Reporter
    ) -> None:
        self._by_step = {op_name(name, project): outcome for name, outcome in outcomes.items()}
        self._reporter = reporter
        self._started: dict[str, float] = {}
        self.interrupted = False
        self.problems: list[str] = []

    def __call__(self, entry: Any) -> None:
        event = entry.dagster_event
        if event is None:
            self._logged(entry.user_message)
        if event is None or event.step_key not in self._by_step:
            return
        outcome = self._by_step[event.step_key]
        match event.event_type:
            case DagsterEventType.STEP_START:
                self._started[event.step_key] = entry.timestamp
                self._reporter.started(outcome.name)
            case DagsterEventType.ASSET_MATERIALIZATION:
                _materialized(outcome, event.step_materialization_data.materialization)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                _checked(outcome, event.asset_check_evaluation_data)
            case DagsterEventType.STEP_UP_FOR_RETRY:
                self._reporter.retrying(outcome.name, reason_of(event.step_retry_data.error))
            case DagsterEventType.STEP_SUCCESS | DagsterEventType.STEP_FAILURE:
                began = self._started.get(event.step_key, entry.timestamp)
                outcome.seconds = entry.timestamp - began
                failed = event.event_type == DagsterEventType.STEP_FAILURE
                outcome.status = "failed" if failed or outcome.failed_checks else "success"
                if failed and _INTERRUPTED in str(event.step_failure_data.error):
                    self.interrupted = True
                    outcome.status = "not_run"
                    return
                if failed:
                    outcome.error = reason_of(event.step_failure_data.error)
                self._reporter.ended(outcome)

    def _logged(self, message: str) -> None:
        if message.startswith(WAITING):
            self._reporter.waiting(message)
        if message.startswith(OUTDATED):
            self.problems.append(message)


def _materialized(outcome: AssetOutcome, materialization: Any) -> None:
    rows = materialization.metadata.get("dagster/row_count")
    if rows is not None:
        outcome.rows = int(rows.value)
    spent = (
        materialization.metadata.get(f"{part}_seconds") for part in ("source", "build", "check")
    )
    outcome.spent = Spent(*(float(found.value) if found else 0.0 for found in spent))


def _checked(outcome: AssetOutcome, evaluation: Any) -> None:
    found = outcome.checks[evaluation.check_name]
    found.metadata = {key: value.value for key, value in evaluation.metadata.items()}
    found.message = str(found.metadata.get("result", ""))
    if evaluation.passed:
        found.status = "passed"
    else:
        found.status = "error" if "error" in found.metadata else "failed"
