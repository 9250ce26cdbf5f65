"""Those whom `notifications` name are told what fails, once, and that it works again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecommerce_dagster.alerts.incidents import Finding, Incidents, Subject
from ecommerce_dagster.orchestration import alerts
from ecommerce_dagster.runtime.run_tags import END_TAG, START_TAG
from orchestration.helpers import Tiny, clean_environment, free_port, invoke, run_all
from orchestration.receivers import MailServer, Webhook, mail_server, webhook

RULE = "columns:\n  - name: size\n    checks:\n      - {name: accepted_values, value: [S, M]}\n"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server(free_port()) as found:
        yield found


class Watch:
    """The pipeline of a test, its runs, and the ticks of its sensor."""

    def __init__(self, tiny: Tiny, instance: dg.DagsterInstance) -> None:
        self.tiny, self.instance = tiny, instance
        self.cursor: str | None = None
        self.log: list[str] = []

    def run(self, selection: Any = None, **options: Any) -> dg.ExecuteInProcessResult:
        return run_all(self.tiny.definitions(), self.instance, selection, **options)

    def tick(self, *, keep: bool = True) -> str:
        """What the tick says. Without `keep` its cursor is lost, as when the daemon is killed."""
        definitions = self.tiny.definitions()
        sensor = next(one for one in definitions.sensors or () if one.name == "tiny_alerts")
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = sensor.evaluate_tick(context)
        if keep:
            self.cursor = result.cursor
        return str(result.skip_message)


@pytest.fixture
def watch(tiny: Tiny, instance: dg.DagsterInstance, hook: Webhook, mail: MailServer) -> Watch:
    """A pipeline with a webhook and a mail server, whose sensor has begun."""
    connect(tiny, hook, mail)
    pipeline(tiny, "webhook: [{connection: hook}]\n  email: [{to: night@shop.example}]")
    sizes(tiny, "S", "M")
    found = Watch(tiny, instance)
    assert found.tick() == "failures from now on are reported"
    return found


def connect(tiny: Tiny, hook: Webhook, mail: MailServer) -> None:
    config = (tiny.folder / ".bruin.yml").read_text()
    tiny.write(
        ".bruin.yml",
        config
        + f"      webhook:\n        - {{name: hook, url: '{hook.url}', username: me, "
        + "password: s3cr3t-word}\n"
        + f"      smtp:\n        - {{name: post, host: 127.0.0.1, port: {mail.port}, "
        + "from: dagster@shop.example, tls: none}\n",
    )


def pipeline(tiny: Tiny, notifications: str, more: str = "") -> None:
    text = f"name: tiny\nnotifications:\n  {notifications}\n{more}"
    tiny.write("pipeline/pipeline.yml", text)


def sizes(tiny: Tiny, *values: str, header: str = RULE) -> None:
    rows = ", ".join(f"({n}, '{value}')" for n, value in enumerate(values))
    tiny.sql("stg.sizes", f"SELECT * FROM (VALUES {rows}) t(id, size)", header)


def test_one_message_when_a_check_fails_and_one_when_it_is_over(
    watch: Watch, hook: Webhook, mail: MailServer
) -> None:
    watch.run()
    assert watch.tick() == "nothing is broken"
    sizes(watch.tiny, "S", "XXL")
    failed = watch.run()

    assert watch.tick() == "1 thing broken; 2 messages sent"

    [message] = hook.taken
    assert message["title"] == "[tiny] stg.sizes: accepted_values of size failed"
    text = message["message"]
    assert "1 of 2 rows break the rule: Each size is one of S, M." in text
    assert "File: pipeline/assets/stg.sizes.sql:9\n" in text
    assert "Bad row: id=1, size=XXL" in text
    assert re.search(r"The table still shows the data of \d{4}-\d\d-\d\d \d\d:\d\d UTC", text)
    assert f"Run: {failed.run_id}" in text
    expected = {
        "pipeline": "tiny", "asset": "stg.sizes", "column": "size", "check": "accepted_values",
        "run_id": failed.run_id, "status": "failure",
    }  # fmt: skip
    assert {key: message.get(key) for key in expected} == expected
    assert hook.headers[0]["Authorization"].startswith("Basic ")
    [letter] = mail.taken
    assert (letter.sender, letter.to) == ("dagster@shop.example", ("night@shop.example",))
    assert letter.subject == message["title"]
    assert "Bad row: id=1, size=XXL" in letter.text

    sizes(watch.tiny, "S", "L")
    watch.run()
    assert watch.tick() == "1 thing broken"
    assert watch.tick() == "1 thing broken"
    assert len(hook.taken) == len(mail.taken) == 1

    sizes(watch.tiny, "S", "M")
    watch.run()
    assert watch.tick() == "nothing is broken; 2 messages sent"
    assert hook.titles[1:] == ["[tiny] stg.sizes: accepted_values of size passes again"]
    assert hook.taken[1]["status"] == "success"
    assert "It was broken for 1 minute." in mail.taken[1].text


def test_a_check_that_does_not_block_and_a_table_that_cannot_be_built(
    watch: Watch, hook: Webhook
) -> None:
    sizes(watch.tiny, "XL", header=RULE.replace("[S, M]}", "[S, M], blocking: false}"))
    watch.tiny.sql("mart.m", "SELECT 1 // 0 AS n, error('no such thing') AS e")
    watch.run()

    watch.tick()

    told = {message["title"]: message["message"] for message in hook.taken}
    assert set(told) == {
        "[tiny] stg.sizes: accepted_values of size failed",
        "[tiny] mart.m could not be built",
    }
    first, second = told.values() if "mart.m" in next(reversed(told)) else reversed(told.values())
    assert "The check does not block: the rows are published." in first
    assert "no such thing" in second
    assert "Nothing was ever published." in second

    watch.tiny.sql("mart.m", "SELECT 1 AS n")
    watch.run([dg.AssetKey(["mart", "m"])])
    watch.tick()
    assert hook.titles[2:] == ["[tiny] mart.m is built again"]


def test_many_at_once_are_one_message(watch: Watch, hook: Webhook, mail: MailServer) -> None:
    for number in range(10):
        watch.tiny.sql(f"mart.m{number}", f"SELECT error('broken {number}') AS n")
    watch.run()

    assert watch.tick() == "10 things broken; 2 messages sent"

    [message] = hook.taken
    assert message["title"] == "[tiny] 10 failures at once"
    assert all(f"- mart.m{number} could not be built" in mail.taken[0].text for number in range(10))


def test_a_receiver_that_is_away_gets_it_later(
    watch: Watch, hook: Webhook, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.status = 503
    sizes(watch.tiny, "XL")
    run = watch.run()

    assert watch.tick() == "1 thing broken; 1 message sent; 1 message not delivered yet"
    assert run.dagster_run.status == dg.DagsterRunStatus.FAILURE
    assert "s3cr3t" not in str(watch.cursor)
    assert watch.tick() == "1 thing broken; 1 message not delivered yet"

    hook.status = 200
    now = time.time()
    monkeypatch.setattr(alerts.Tick, "now", staticmethod(lambda: now + 60))
    assert watch.tick() == "1 thing broken; 1 message sent"
    assert (len(hook.taken), len(mail.taken)) == (1, 1)


def test_secrets_are_in_no_message_of_the_sensor(
    watch: Watch, hook: Webhook, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    hook.status = 500
    sizes(watch.tiny, "XL")
    watch.run()

    watch.tick()

    told = caplog.text + "".join(capfd.readouterr())
    assert "not delivered, tried again in 30 s: webhook hook: " in told
    assert "s3cr3t" not in told


def test_a_tick_that_is_lost_sends_nothing_twice(
    watch: Watch, hook: Webhook, mail: MailServer
) -> None:
    sizes(watch.tiny, "XL")
    watch.run()

    watch.tick(keep=False)
    watch.tick()

    assert (len(hook.taken), len(mail.taken)) == (1, 1)
    sizes(watch.tiny, "S")
    watch.run()
    watch.tick()
    assert (len(hook.taken), len(mail.taken)) == (2, 2)


TICK = """
    import sys
    from pathlib import Path
    import dagster as dg
    from ecommerce_dagster import build_defs
    folder, cursor = Path(sys.argv[1]), Path(sys.argv[2])
    with dg.DagsterInstance.get() as instance:
        sensor = next(s for s in build_defs(folder).sensors if s.name == "tiny_alerts")
        text = cursor.read_text() if cursor.exists() else None
        with dg.build_sensor_context(instance=instance, cursor=text) as context:
            cursor.write_text(sensor.evaluate_tick(context).cursor)
"""


def test_a_killed_process_loses_nothing_and_sends_nothing_twice(
    tiny: Tiny, hook: Webhook, mail: MailServer, tmp_path: Path
) -> None:
    """It is killed while the third of five messages is under way, which is not taken."""
    connect(tiny, hook, mail)
    pipeline(tiny, "webhook: [{connection: hook}]")
    tiny.sql("stg.sizes", "SELECT 1 AS n")
    home = tmp_path / "dagster"
    home.mkdir()
    cursor = tmp_path / "cursor"
    command = [sys.executable, "-c", textwrap.dedent(TICK), str(tiny.directory), str(cursor)]
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    for number in range(5):
        tiny.sql(f"mart.m{number}", f"SELECT error('broken {number}') AS n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_all(tiny.definitions(), instance)
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def accept(message: dict[str, Any]) -> bool:
        if len(hook.taken) < 2:
            return True
        process.kill()
        return False

    hook.accept = accept
    process.wait()
    assert process.returncode == -9
    assert len(hook.taken) == 2
    hook.accept = lambda message: True

    subprocess.run(command, env=environment, check=True, capture_output=True)

    titles = sorted(hook.titles)
    assert titles == [f"[tiny] mart.m{number} could not be built" for number in range(5)]


class TestPartitions:
    DAILY = 'schedule: daily\nstart_date: "2025-03-01"\n'
    HOW = "type: table, strategy: time_interval, incremental_key: at, time_granularity: timestamp"

    def days(self, watch: Watch, size: str) -> None:
        pipeline(watch.tiny, "webhook: [{connection: hook}]", self.DAILY)
        watch.tiny.sql(
            "stg.sizes",
            f"SELECT TIMESTAMPTZ '{{{{ start_timestamp }}}}' AS at, '{size}' AS size",
            f"materialization: {{{self.HOW}}}\n{RULE}",
            table=False,
        )

    def test_another_day_that_passes_ends_nothing(self, watch: Watch, hook: Webhook) -> None:
        self.days(watch, "XL")
        watch.run(partition_key="2025-03-02")
        watch.tick()
        assert "Partition: 2025-03-02" in hook.taken[0]["message"]

        self.days(watch, "S")
        watch.run(partition_key="2025-03-03")
        assert watch.tick() == "1 thing broken"
        watch.run(partition_key="2025-03-02")
        assert watch.tick() == "nothing is broken; 1 message sent"

    def test_a_day_that_is_not_like_others_is_told_once(self, watch: Watch, hook: Webhook) -> None:
        """Also when the run that notices it is about the day after, which is not over."""
        pipeline(watch.tiny, "webhook: [{connection: hook}]")
        today = datetime.now(UTC).date()
        yesterday = str(today - timedelta(days=1))

        def load(rows: int, day: str) -> str:
            orders(watch.tiny, rows, today)
            watch.run([LOADED], partition_key=day)
            return watch.tick()

        orders(watch.tiny, 100, today)
        watch.run([LOADED], tags={START_TAG: str(today - timedelta(days=50)), END_TAG: yesterday})
        assert watch.tick() == "nothing is broken"
        for day in (yesterday, str(today), yesterday):
            load(10, day)
        [told] = hook.taken
        assert told["title"] == "[tiny] stg.orders: volume failed"
        assert f"{yesterday}: 10 rows; expected 66 to 180, from" in told["message"]
        assert f"Partition: {yesterday}" in told["message"]
        assert "The check does not block: the rows are published." in told["message"]
        load(100, yesterday)
        assert hook.titles[1:] == ["[tiny] stg.orders: volume passes again"]


LOADED = dg.AssetKey(["stg", "orders"])


def orders(tiny: Tiny, rows: int, today: date) -> None:
    """A table with 100 rows a day, for the last 50 days, and so many of yesterday."""
    text = (tiny.directory / "pipeline.yml").read_text().partition("schedule")[0]
    start = today - timedelta(days=50)
    tiny.write("pipeline/pipeline.yml", f"{text}schedule: daily\nstart_date: {start}\n")
    last = today - timedelta(days=1)
    tiny.sql(
        "stg.orders",
        f"SELECT CAST(DATE '{start}' + CAST(d AS INTEGER) AS DATE) AS day\n"
        f"FROM range(51) AS days (d), range(100) AS orders (n)\n"
        f"WHERE (day <> '{last}' OR n < {rows}) AND day <= '{today}'\n"
        "  AND day BETWEEN '{{ start_date }}' AND '{{ end_date }}'",
        "materialization: {type: table, strategy: time_interval, incremental_key: day, "
        "time_granularity: date}\nmeta: {anomalies: volume}",
        table=False,
    )


class TestRuns:
    def test_a_run_that_fails_without_a_step(self, watch: Watch, hook: Webhook) -> None:
        self.end(watch, dg.DagsterRunStatus.FAILURE)
        assert watch.tick() == "1 thing broken; 2 messages sent"
        assert hook.titles == ["[tiny] tiny failed"]
        self.end(watch, dg.DagsterRunStatus.SUCCESS)
        assert watch.tick() == "nothing is broken; 2 messages sent"

    def test_who_cancels_a_run_is_not_told(self, watch: Watch, hook: Webhook) -> None:
        self.end(watch, dg.DagsterRunStatus.CANCELED)
        assert watch.tick() == "nothing is broken"
        assert hook.taken == []

    def test_a_run_that_dagster_repeats_is_no_news(self, watch: Watch, hook: Webhook) -> None:
        self.end(watch, dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"})
        assert watch.tick() == "nothing is broken"
        assert hook.taken == []

    def test_those_who_want_to_know_of_success(self, watch: Watch, hook: Webhook) -> None:
        pipeline(watch.tiny, "webhook: [{connection: hook, success: true, failure: false}]")
        self.end(watch, dg.DagsterRunStatus.FAILURE)
        self.end(watch, dg.DagsterRunStatus.SUCCESS)
        watch.tick()
        assert sorted(hook.titles) == ["[tiny] tiny succeeded", "[tiny] tiny succeeded again"]

    def end(
        self, watch: Watch, status: dg.DagsterRunStatus, tags: dict[str, str] | None = None
    ) -> None:
        job = watch.tiny.definitions().resolve_job_def("tiny")
        run = watch.instance.create_run_for_job(job, tags=tags)
        if status == dg.DagsterRunStatus.SUCCESS:
            watch.instance.report_dagster_event(
                dg.DagsterEvent("PIPELINE_SUCCESS", run.job_name), run_id=run.run_id
            )
        elif status == dg.DagsterRunStatus.CANCELED:
            watch.instance.report_run_canceled(run)
        else:
            watch.instance.report_run_failed(run)


class TestReceivers:
    def test_a_check_an_asset_and_the_pipeline_name_them(
        self, watch: Watch, hook: Webhook, mail: MailServer
    ) -> None:
        """The mail of the check and of the asset is of that asset alone."""
        pipeline(watch.tiny, "webhook: [{connection: hook, success: false}]")
        own = "notifications: {email: [owner@shop.example]}\n"
        rule = RULE.replace(
            "[S, M]}", "[S, M], notifications: {email: [{to: 'rule@shop.example'}]}}"
        )
        sizes(watch.tiny, "XL", header=own + rule)
        watch.tiny.sql("mart.m", "SELECT error('broken') AS n")
        watch.run()
        watch.tick()

        assert len(hook.taken) == 2
        assert sorted(letter.to[0] for letter in mail.taken) == [
            "owner@shop.example",
            "rule@shop.example",
        ]
        sizes(watch.tiny, "S", header=own + rule)
        watch.run()
        watch.tick()
        assert (len(hook.taken), len(mail.taken)) == (2, 4)

    def test_there_is_no_sensor_where_nobody_is_named(self, tiny: Tiny) -> None:
        tiny.sql("main.a", "SELECT 1 AS n")
        assert [s.name for s in tiny.definitions().sensors or ()] == []

    @pytest.mark.parametrize(
        ("kind", "key"), [("slack", "text"), ("discord", "content"), ("ms_teams", "text")]
    )
    def test_a_server_that_speaks_like_a_chat(
        self, watch: Watch, hook: Webhook, kind: str, key: str
    ) -> None:
        config = (watch.tiny.folder / ".bruin.yml").read_text()
        config += f"      {kind}:\n        - {{name: chat, webhook_url: '{hook.url}'}}\n"
        watch.tiny.write(".bruin.yml", config)
        named = '{channel: "#data"}' if kind == "slack" else "{connection: chat}"
        pipeline(watch.tiny, f"{kind}: [{named}]")
        sizes(watch.tiny, "XL")
        watch.run()
        watch.tick()
        [message] = hook.taken
        assert "stg.sizes: accepted_values of size failed" in message[key]
        assert "Bad row: id=0, size=XL" in message[key]
        assert message.get("channel") == ("#data" if kind == "slack" else None)


@pytest.mark.parametrize(
    ("connection", "named", "said"),
    [
        ("webhook: [{name: x}]", "webhook: [x]", "webhook x: its connection has no url"),
        (
            "webhook: [{name: x, url: 'ftp://h'}]",
            "webhook: [x]",
            "webhook x: the url of its connection is not one of http",
        ),
        (
            "smtp: [{name: x, host: h, from: me}]",
            "email: [a@b.example]",
            "email a@b.example: its connection needs a 'host', the address 'from', and as 'tls' one "
            "of starttls, ssl, none",
        ),
        (
            "webhook: [{name: x, url: 'http://127.0.0.1:9/s3cr3t'}]",
            "webhook: [x]",
            "webhook x: A Connection error occurred sending JSON notification to 127.0.0.1.",
        ),
        ("webhook: [{name: x, url: '${NO_SUCH}'}]", "webhook: [x]", "needs NO_SUCH; set it in the"),
        (
            "webhook: [{name: y}]",
            "webhook: [x]",
            "there is no connection 'x' in .bruin.yml (environment",
        ),
        ("webhook: []", "webhook: []", "no alerts are sent: "),
    ],
)
def test_the_command_says_who_cannot_be_reached(
    tiny: Tiny, connection: str, named: str, said: str
) -> None:
    config = (tiny.folder / ".bruin.yml").read_text()
    tiny.write(".bruin.yml", f"{config}      {connection}\n")
    pipeline(tiny, named)
    tiny.sql("main.a", "SELECT 1 AS n")

    outcome = invoke(
        clean_environment(ECOMMERCE_HOME=str(tiny.folder / "state")),
        *("alerts", "test", "--pipeline", str(tiny.directory)),
    )

    assert outcome.code == 1
    assert said in outcome.text
    assert "s3cr3t" not in outcome.text


def test_the_command_sends_to_all(tiny: Tiny, hook: Webhook, mail: MailServer) -> None:
    connect(tiny, hook, mail)
    pipeline(
        tiny, "webhook: [{connection: hook}]\n  email: [{to: 'a@shop.example, b@shop.example'}]"
    )
    tiny.sql("main.a", "SELECT 1 AS n")

    outcome = invoke(
        clean_environment(ECOMMERCE_HOME=str(tiny.folder / "state")),
        *("alerts", "test", "--pipeline", str(tiny.directory)),
    )

    assert outcome.succeeded, outcome.text
    assert outcome.stdout == "webhook hook: sent\nemail a@shop.example, b@shop.example: sent\n"
    assert hook.titles == ["[tiny] this is a test"]
    assert sorted(to for letter in mail.taken for to in letter.to) == [
        "a@shop.example",
        "b@shop.example",
    ]


def test_a_private_column_is_in_no_message(watch: Watch, hook: Webhook) -> None:
    sizes(watch.tiny, "XL", header=RULE.replace("- name: size\n", "- name: size\n    mask: hash\n"))
    watch.run()
    watch.tick()
    assert "size=***" in hook.taken[0]["message"]
    assert "XL" not in hook.taken[0]["message"]


def test_a_table_that_grows_too_old(
    watch: Watch, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes(watch.tiny, "S", header="meta: {freshness: 2h}")
    watch.run()
    watch.tick()
    now = time.time()
    monkeypatch.setattr(alerts.Tick, "now", staticmethod(lambda: now + 3 * 3600))
    assert watch.tick() == "1 thing broken; 2 messages sent"
    assert watch.tick() == "1 thing broken"
    assert hook.titles == ["[tiny] stg.sizes is older than it may be"]
    assert "may be 2 h old" in hook.taken[0]["message"]


DAYS = st.tuples(st.integers(1, 6), st.integers(0, 3)).map(
    lambda at: (f"2025-03-0{at[0]}", f"2025-03-0{at[0] + at[1]}")
)
FINDINGS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.none() | DAYS), max_size=12
)


@given(FINDINGS)
def test_news_are_told_once_whatever_happens(findings: list[Any]) -> None:
    """By days: what is broken is what failed and did not pass since, widened to the whole of what
    failed together with it. Each thing that breaks is told once, and once that it is over."""
    incidents, opened, ended = Incidents(), 0, 0
    for number, (name, failed, days) in enumerate(findings):
        before = list(incidents.open)
        finding = Finding(Subject("asset", name), failed, float(number), partitions=days)
        news = incidents.take(finding)
        opened += sum(not one.is_over for one in news)
        ended += sum(one.is_over for one in news)
        own = [one for one in incidents.open if one.subject.name == name]
        assert [one for one in before if one.subject.name != name] == [
            one for one in incidents.open if one.subject.name != name
        ]
        if failed:
            assert len(news) <= 1
            holder = [one for one in own if holds(one.partitions, days)]
            assert len(holder) == 1
        else:
            assert not any(holds(days, one.partitions) for one in own)
    # Two that turned out to be one end together.
    assert opened - ended >= len(incidents.open)
    assert Incidents.read(json.loads(json.dumps(incidents.as_json()))) == incidents


def holds(outer: tuple[str, str] | None, inner: tuple[str, str] | None) -> bool:
    """Whether all days of `inner` are in `outer`; None is all days."""
    if outer is None:
        return True
    return inner is not None and outer[0] <= inner[0] and inner[1] <= outer[1]
