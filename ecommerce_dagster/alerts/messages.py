"""The texts of alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ecommerce_dagster.alerts.incidents import News, Subject
from ecommerce_dagster.bruin.paths import from_root
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.sql.checks import Check, checks_of

Status = Literal["failure", "success"]
MOST_ALONE = 5  # messages at once that a receiver gets one by one
_MOST_LISTED = 40  # lines of a digest


@dataclass(frozen=True)
class Message:
    """One message. `fields` are what a webhook gets beside its text, `ids` the news in it."""

    ids: tuple[str, ...]
    status: Status
    title: str
    lines: tuple[str, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Message:
        """The inverse of dataclasses.asdict, by way of JSON."""
        return cls(**{**kept, "ids": tuple(kept["ids"]), "lines": tuple(kept["lines"])})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def body(self) -> str:
        return "\n".join(self.lines)


def message_of(news: News, project: Project, *, still: str, page: str) -> Message:
    """What people read of one piece of news.

    `still` says which data the table shows, `page` is the address of Dagster's pages or empty.
    """
    subject, finding = news.incident.subject, news.finding
    check = check_of(subject, project)
    label = f"{subject.name}: {_rule(check)}" if check else subject.name
    verb = _VERBS[subject.kind][news.is_over]
    run = finding.run or news.incident.run
    lines = [
        _after(news) if news.is_over else finding.reason,
        f"Rule: {check.words}" if check and check.words not in finding.reason else "",
        *(finding.lines if not news.is_over else ()),
        _partitions(news),
        still,
        f"File: {_place(subject, check, project)}" if subject.kind != "run" else "",
        f"Run: {_link(run, page)}" if run else "",
    ]
    status: Status = "success" if news.is_over else "failure"
    return Message(
        (news.id,),
        status,
        f"[{project.pipeline.name}] {label} {verb}",
        tuple(filter(None, lines)),
        {
            "pipeline": project.pipeline.name,
            "asset": None if subject.kind == "run" else subject.name,
            "column": check.column.name if check and check.column else None,
            "check": check.rule.name if check else None,
            "run_id": run or None,
            "status": status,
        },
    )


_VERBS: Mapping[str, tuple[str, str]] = {
    "check": ("failed", "passes again"),
    "asset": ("could not be built", "is built again"),
    "run": ("failed", "succeeded again"),
    "freshness": ("is older than it may be", "is fresh again"),
}


def digest(messages: Sequence[Message], project: Project) -> Message:
    """Many messages of one status as one."""
    first = messages[0]
    kind = "failures" if first.status == "failure" else "recoveries"
    shown = [f"- {message.title.partition('] ')[2]}" for message in messages[:_MOST_LISTED]]
    more = len(messages) - len(shown)
    runs = {str(message.fields["run_id"]) for message in messages if message.fields.get("run_id")}
    lines = [*shown, *([f"- and {more} more"] if more else [])]
    if runs:
        lines.append(f"{'Run' if len(runs) == 1 else 'Runs'}: {', '.join(sorted(runs)[:5])}")
    return Message(
        tuple(id for message in messages for id in message.ids),
        first.status,
        f"[{project.pipeline.name}] {len(messages)} {kind} at once",
        tuple(lines),
        {"pipeline": project.pipeline.name, "status": first.status, "count": len(messages)},
    )


def gathered(messages: Sequence[Message], project: Project) -> list[Message]:
    """The messages, with those of a status as a digest when they are more than MOST_ALONE."""
    found: list[Message] = []
    for status in ("failure", "success"):
        same = [message for message in messages if message.status == status]
        found += [digest(same, project)] if len(same) > MOST_ALONE else same
    return found


def succeeded(project: Project, job: str, run: str, page: str) -> Message:
    """What those read who want to know of each run that succeeds."""
    fields = {"pipeline": project.pipeline.name, "asset": None, "column": None, "check": None}
    return Message(
        (f"success|{job}|{run}",),
        "success",
        f"[{project.pipeline.name}] {job} succeeded",
        (f"Run: {_link(run, page)}",),
        {**fields, "run_id": run, "status": "success"},
    )


def trial(project: Project) -> Message:
    """A message that says no more than that messages arrive."""
    return Message(
        ("trial",),
        "success",
        f"[{project.pipeline.name}] this is a test",
        ("Alerts of this pipeline arrive here.",),
        {"pipeline": project.pipeline.name, "status": "success"},
    )


def check_of(subject: Subject, project: Project) -> Check | None:
    """The check that a subject is; None when it is none, or is no longer in the files."""
    asset = project.by_name.get(subject.name) if subject.check else None
    checks = checks_of(asset) if asset else ()
    return next((check for check in checks if check.id == subject.check), None)


def moment(seconds: float) -> str:
    """A time as people read it, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _after(news: News) -> str:
    minutes = max(1, round((news.finding.at - news.incident.since) / 60))
    hours, rest = divmod(minutes, 60)
    long = [counted(hours, "hour")] if hours else []
    long += [counted(rest, "minute")] if rest else []
    return f"It was broken for {' and '.join(long)}."


def _partitions(news: News) -> str:
    found = news.incident.partitions
    if found is None:
        return ""
    first, last = found
    return f"Partition: {first}" if first == last else f"Partitions: {first} to {last}"


def _rule(check: Check) -> str:
    """A rule as a part of a sentence: `not_null of email`, or the custom name."""
    return f"{check.id.rpartition(':')[2]} of {check.column.name}" if check.column else check.label


def _place(subject: Subject, check: Check | None, project: Project) -> str:
    """The file and line of the rule, or the file of the asset."""
    asset = project.by_name[subject.name]
    path, line = (check.rule.path, check.rule.line) if check else (asset.path, asset.line)
    return f"{from_root(path, project.root)}:{line}"


def _link(run: str, page: str) -> str:
    return f"{page.rstrip('/')}/runs/{run}" if page else run
