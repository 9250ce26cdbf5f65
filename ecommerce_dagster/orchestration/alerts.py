"""A sensor that sends alerts about failures, by the `notifications` of the files.

It reads the runs that have ended since its last tick, those of a terminal included, and sends what
is news in them. What cannot be delivered is kept and tried again. What was delivered is kept beside
the cursor at once: a tick that is ended in the middle sends nothing a second time.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg

from ecommerce_dagster.alerts.delivery import NotDelivered, send
from ecommerce_dagster.alerts.incidents import Finding, Incidents, News, Subject
from ecommerce_dagster.alerts.messages import (
    Message,
    check_of,
    gathered,
    message_of,
    moment,
    succeeded,
)
from ecommerce_dagster.alerts.receivers import all_receivers, receivers_for
from ecommerce_dagster.bruin.model.receivers import Receiver, receivers_of
from ecommerce_dagster.bruin.plurals import counted
from ecommerce_dagster.bruin.project import Project
from ecommerce_dagster.orchestration.asset_keys import asset_key
from ecommerce_dagster.orchestration.freshness import oldest_allowed
from ecommerce_dagster.orchestration.run_findings import RunFindings
from ecommerce_dagster.runtime.environment import variables_for
from ecommerce_dagster.runtime.plain_names import job_name

# The address of Dagster's pages, for the links of messages.
PAGE_VARIABLE = "DAGSTER_WEBSERVER_URL"
_SECONDS_BETWEEN_TICKS = 30
_SECONDS_BETWEEN_AGES = 300
_RUNS = 100  # that one tick reads
# Runs may be recorded as ended by another clock, or late.
_OVERLAP = 600.0
# Tried again after so many seconds, twice as many the next time, and so on.
_FIRST_RETRY, _LAST_RETRY = 30, 300
_SECONDS_OF_SENDING = 40  # in one tick; Dagster ends those of more than 60
_ENDED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_WILL_RETRY = "dagster/will_retry"


@dataclass
class Outbox:
    """What a receiver is still to be sent, and when it is tried (seconds since 1970)."""

    messages: list[Message] = field(default_factory=list)
    tries: int = 0
    due: float = 0.0

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Outbox:
        """The inverse of dataclasses.asdict, by way of JSON."""
        return cls([Message.read(one) for one in kept["messages"]], kept["tries"], kept["due"])


@dataclass
class Memory:
    """What the sensor keeps from tick to tick: until when runs were read, those of the last
    minutes, what is broken, what is still to be sent, and when ages were last compared."""

    until: float
    read: dict[str, float] = field(default_factory=dict)
    incidents: Incidents = field(default_factory=Incidents)
    outboxes: dict[str, Outbox] = field(default_factory=dict)
    ages_at: float = 0.0
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    number: int = 0

    @classmethod
    def of(cls, text: str | None) -> Memory | None:
        """From what `as_text` wrote; None when nothing was kept that can be read."""
        try:
            kept = json.loads(text or "")
            return cls(
                kept["until"],
                kept["read"],
                Incidents.read(kept["incidents"]),
                {
                    key: Outbox(
                        [Message.read(m) for m in box["messages"]], box["tries"], box["due"]
                    )
                    for key, box in kept["outboxes"].items()
                },
                kept["ages_at"],
                kept["id"],
                kept["number"],
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def as_text(self) -> str:
        kept = {**self.__dict__, "incidents": self.incidents.as_json()}
        kept["outboxes"] = {key: asdict(box) for key, box in self.outboxes.items() if box.messages}
        return json.dumps(kept, separators=(",", ":"))


@dataclass
class Sent:
    """What was delivered since the cursor was written down: by receiver and news."""

    instance: dg.DagsterInstance
    memory: Memory
    ids: set[str] = field(default_factory=set)

    @property
    def _key(self) -> str:
        return f"bruin/alerts/{self.memory.id}"

    def load(self) -> None:
        kept = self.instance.daemon_cursor_storage.get_cursor_values({self._key}).get(self._key)
        found = json.loads(kept) if kept else {}
        if found.get("number") == self.memory.number:
            self.ids = set(found["ids"])

    def add(self, receiver: str, message: Message) -> None:
        self.ids |= {f"{receiver}|{id}" for id in message.ids}
        kept = {"number": self.memory.number, "ids": sorted(self.ids)}
        self.instance.daemon_cursor_storage.set_cursor_values({self._key: json.dumps(kept)})

    def has(self, receiver: str, message: Message) -> bool:
        return all(f"{receiver}|{id}" in self.ids for id in message.ids)


def alerts_of(project: Project, status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """The sensor of a pipeline in which anything has `notifications`; none otherwise."""
    if not all_receivers(project):
        return []
    findings = RunFindings(project)

    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return Tick(project, findings, context).result()

    return [
        dg.SensorDefinition(
            name=alerts_name(project),
            evaluation_fn=evaluate,
            minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
            description="Tells those whom `notifications` name what fails, and what works again.",
            default_status=status,
        )
    ]


def alerts_name(project: Project) -> str:
    """What the sensor is called."""
    return f"{job_name(project)}_alerts"


@dataclass
class Tick:
    """One tick of the sensor."""

    project: Project
    findings: RunFindings
    context: dg.SensorEvaluationContext
    now = staticmethod(time.time)

    def result(self) -> dg.SensorResult:
        memory = Memory.of(self.context.cursor)
        if memory is None:
            memory = Memory(self.now())
            reason = "failures from now on are reported"
            return dg.SensorResult(skip_reason=reason, cursor=memory.as_text())
        sent = Sent(self.context.instance, memory)
        sent.load()
        for record in self._ended(memory):
            self._read(record, memory)
        self._compare_ages(memory)
        runs = {one.subject for one in memory.incidents.open if one.subject.kind == "run"}
        memory.incidents.forget(self.findings.known() | runs)
        delivered = self._deliver(memory, sent)
        memory.number += 1
        return dg.SensorResult(skip_reason=_said(memory, delivered), cursor=memory.as_text())

    def _ended(self, memory: Memory) -> Sequence[dg.RunRecord]:
        """Runs that have ended and were not read, the first ones first."""
        after = datetime.fromtimestamp(memory.until - _OVERLAP, UTC)
        records = self.context.instance.get_run_records(
            dg.RunsFilter(statuses=_ENDED, updated_after=after),
            order_by="update_timestamp",
            ascending=True,
        )
        new = [r for r in records if r.dagster_run.run_id not in memory.read]
        return [r for r in new if (r.end_time or 0.0) > memory.until - _OVERLAP][:_RUNS]

    def _read(self, record: dg.RunRecord, memory: Memory) -> None:
        run, ended = record.dagster_run, record.end_time or self.now()
        memory.until = max(memory.until, ended)
        memory.read[run.run_id] = ended
        memory.read = {id: at for id, at in memory.read.items() if at > memory.until - _OVERLAP}
        if run.tags.get(_WILL_RETRY) == "true":
            return
        for finding in self.findings.of(record, self.context.instance):
            self._take(finding, memory)
        if run.status == dg.DagsterRunStatus.SUCCESS and self.findings.is_own(run.job_name):
            message = succeeded(self.project, run.job_name, run.run_id, self._page)
            for receiver in receivers_of([self.project.pipeline]):
                if receiver.success:
                    memory.outboxes.setdefault(receiver.key, Outbox()).messages.append(message)

    def _compare_ages(self, memory: Memory) -> None:
        """Find the assets that are older than their files or the schedule allow."""
        now = self.now()
        if now < memory.ages_at + _SECONDS_BETWEEN_AGES:
            return
        memory.ages_at = now
        ages = {
            asset_key(asset.name, self.project): (asset.name, allowed.total_seconds())
            for asset in self.project.assets
            if (allowed := oldest_allowed(asset, self.project)) is not None
        }
        for record in self.context.instance.get_asset_records(list(ages)):
            name, most = ages[record.asset_entry.asset_key]
            event = record.asset_entry.last_materialization_record
            if event is None:
                continue
            reason = f"It was built at {moment(event.timestamp)}, and may be {most / 3600:g} h old."
            failed = now > event.timestamp + most
            self._take(Finding(Subject("freshness", name), failed, now, reason=reason), memory)

    def _take(self, finding: Finding, memory: Memory) -> None:
        for news in memory.incidents.take(finding):
            message = message_of(
                news, self.project, still=self._still(news, finding), page=self._page
            )
            for receiver in receivers_for(finding.subject, self.project):
                if receiver.success is False if news.is_over else not receiver.failure:
                    continue
                memory.outboxes.setdefault(receiver.key, Outbox()).messages.append(message)

    @cached_property
    def _variables(self) -> Mapping[str, str]:
        return variables_for(self.project.connections.path)

    @property
    def _page(self) -> str:
        return self._variables.get(PAGE_VARIABLE, "")

    def _still(self, news: News, finding: Finding) -> str:
        """Which data the table shows now."""
        subject = finding.subject
        asset, check = self.project.by_name.get(subject.name), check_of(subject, self.project)
        if asset is None or subject.kind == "freshness":
            return ""
        if check is not None and not check.blocking and not news.is_over:
            return "The check does not block: the rows are published."
        event = self.context.instance.get_latest_materialization_event(
            asset_key(asset.name, self.project)
        )
        if event is None:
            return "" if news.is_over else "Nothing was ever published."
        word = "shows" if news.is_over else "still shows"
        return f"The table {word} the data of {moment(event.timestamp)}."

    def _deliver(self, memory: Memory, sent: Sent) -> int:
        """Send what is due, as long as there is time; how many messages arrived."""
        delivered, until = 0, self.now() + _SECONDS_OF_SENDING
        known = {receiver.key: receiver for receiver in all_receivers(self.project)}
        for key, box in memory.outboxes.items():
            box.messages = [m for m in box.messages if not sent.has(key, m)]
            if not box.messages or key not in known:
                box.messages = []
                continue
            while box.messages and box.due <= self.now() < until:
                delivered += self._send(box, known[key], sent)
        return delivered

    def _send(self, box: Outbox, receiver: Receiver, sent: Sent) -> int:
        connections, message = self.project.connections, gathered(box.messages, self.project)[0]
        try:
            send(message, receiver, connections, self._variables)
        except NotDelivered as error:
            pause = min(_FIRST_RETRY * 2**box.tries, _LAST_RETRY)
            box.tries, box.due = box.tries + 1, self.now() + pause
            self.context.log.error(f"not delivered, tried again in {pause} s: {error}")
            return 0
        sent.add(receiver.key, message)
        box.messages = [one for one in box.messages if not {*one.ids} <= {*message.ids}]
        box.tries, box.due = 0, 0.0
        self.context.log.info(f"told {receiver.name}: {message.title}")
        return 1


def _said(memory: Memory, delivered: int) -> str:
    waiting = sum(len(box.messages) for box in memory.outboxes.values())
    broken = len(memory.incidents.open)
    parts = [
        f"{counted(broken, 'thing')} broken" if broken else "nothing is broken",
        f"{counted(delivered, 'message')} sent" if delivered else "",
        f"{counted(waiting, 'message')} not delivered yet" if waiting else "",
    ]
    return "; ".join(filter(None, parts))
