"""Each example of each `--help`, and each command of the pages, as it stands, after `make demo`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from orchestration.helpers import ROOT, Shop, clean_environment, eventually, processes_of

from cli import test_help, test_pages_are_true
from ecommerce_dagster.shop.commands import main

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

# What is only read here, by the beginning of the command: why, and the test that runs it.
NOT_RUN = {
    "ecommerce dev": "it serves until it is stopped: cli/test_dev.py",
    "ecommerce metrics --port": "it serves until it is stopped: cli/test_doctor.py",
    "ecommerce demo": "it is what all of these come after: cli/test_demo.py",
    "ecommerce warehouse": "needs a DuckLake: cli/test_warehouse.py",
    "ecommerce alerts": "needs receivers of messages: orchestration/test_alerts.py",
    "ecommerce completion": "what is printed is for a shell: cli/test_completion.py",
    "eval ": "what is printed is for a shell: cli/test_completion.py",
    "ecommerce run --modified": "one run more: plan/test_plan.py",
    "ecommerce run --reconcile": "one run more: ingestion/test_reconcile.py",
    "ecommerce run --selector": "one run more: cli/test_run.py",
    "ecommerce run --pipeline": "one run more: cli/test_run.py",
    "ecommerce run --profile": "one run more: cli/test_run.py",
    "ecommerce run --start-date": "one run more: cli/test_run.py",
    "ecommerce run mart.sales_daily": "one run more: cli/test_run.py",
    "ecommerce with-postgres": "runs another program: cli/test_installed.py",
    "ecommerce report report.something": "stands for a report of the reader's: cli/test_looking.py",
    "ecommerce report --output FILE": "stands for a file of the reader's: cli/test_looking.py",
    "ecommerce diff lake:": "needs a DuckLake: cli/test_diff.py",
    "ecommerce diff mart.sales_daily@": "needs a DuckLake: cli/test_diff.py",
    "ecommerce diff --against": "needs another environment: cli/test_diff.py",
    "ecommerce plan --against": "needs a repository: plan/test_plan.py",
    "ecommerce try": "one run more: cli/test_try.py",
    "generate-data": "breaks the data of the others: orchestration/test_chaos.py",
}
# Its commands are for a pipeline of which a check has failed.
OPERATION = ROOT / "docs" / "operations.md"
COPIED = ("asset_specs", "data_generator", "ecommerce_dagster", "glossary.yml", ".bruin.yml")
COPIED += ("pyproject.toml",)
# All in one process, which imports Dagster once. Of each its exit code and what it says.
DRIVER = """
import json, os, sys
from unittest import mock
from click.testing import CliRunner
from ecommerce_dagster.shop.commands import main
answers = []
for arguments in json.load(sys.stdin):
    with mock.patch.dict(os.environ):
        result = CliRunner().invoke(main, arguments, prog_name="ecommerce")
    text = result.output[-3000:] if result.exit_code else ""
    answers.append((result.exit_code, text, repr(result.exception)))
json.dump(answers, sys.stdout)
"""


def examples() -> dict[str, None]:
    """The commands, each once, in the order of the help and the pages."""
    found: dict[str, None] = {}
    for path in test_help.commands(main):
        command: click.Command = main
        for name in path:
            assert isinstance(command, click.Group)
            command = command.commands[name]
        _, _, lines = (command.epilog or "").partition("Examples:\n")
        found |= dict.fromkeys(line.strip() for line in lines.splitlines())
    # On a page a bare name speaks of the command.
    names = {shlex.join(["ecommerce", *path]) for path in test_help.commands(main)} - found.keys()
    for page in test_pages_are_true.PAGES:
        if page.name not in {"CHANGELOG.md", OPERATION.name}:
            for program, *arguments in test_pages_are_true.commands(page):
                if arguments and program != "make":
                    text = shlex.join([program, *arguments])
                    text = text.replace(str(ROOT / "asset_specs"), "asset_specs")
                    found |= {} if text in names else {text: None}
    return found


def test_each_runs_in_the_checkout_after_the_demo(reachable_tmp: Path) -> None:
    checkout = reachable_tmp / "checkout"
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        checkout.mkdir(exist_ok=True)
        copy(ROOT / name, checkout / name)
    (checkout / "home").mkdir()
    # The asset that README adds before it runs it.
    added = re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    environment = clean_environment(
        PYTHONPATH=str(checkout), HOME=str(checkout / "home"), BROWSER="true"
    )

    def ran(*commands: list[str]) -> list[tuple[int, str, str]]:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps(commands),
            env=environment,
            cwd=checkout,
            text=True,
            stdout=subprocess.PIPE,
            check=True,
            timeout=800,
        )
        return [tuple(answer) for answer in json.loads(done.stdout)]

    [(code, text, _)] = ran(["demo", "--days", "3"])
    assert code == 0, text
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    for command in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("add", "asset_specs"),
        ("commit", "--quiet", "-m", "all"),
    ):
        subprocess.run(["git", *who, *command], cwd=checkout, check=True, timeout=60)
    (checkout / "asset_specs/assets/mart/mart.customers_by_domain.sql").write_text(added)
    run = [text for text in examples() if not text.startswith(tuple(NOT_RUN))]
    assert len(run) > 30
    arguments = [shlex.split(text.partition(" > ")[0])[1:] for text in run]
    failed = {
        text: answer
        for text, answer in zip(run, ran(*arguments), strict=True)
        if answer[0] != ("--exit-code" in text and answer[0])
    }
    assert not failed, json.dumps(failed, indent=1)
    assert eventually(lambda: not processes_of(checkout)), processes_of(checkout)
    assert (checkout / "sales.html").exists()


def test_those_for_operators_repair_what_a_check_has_stopped(after_day: Shop) -> None:
    """Those of the page, between a bad row and the morning."""
    shop, day = after_day, ("--starting-at", "2025-03-06", "--ending-at", "2025-03-06T23:59:59")
    page = [line for line in test_pages_are_true.shell_lines(OPERATION) if line]
    backup = [line for line in page if line.startswith(("mkdir ", "cp .ecommerce/"))]
    night = [line for line in page if line not in backup]
    yesterday = shop.tables()
    assert failing(backup, shop) == []
    shop.generate(*day, "--chaos-percent", "5")
    assert shop.invoke("run").code == 1
    kept = {name: yesterday[name] for name in ("stg.product_variants", "mart.top_skus")}

    look, repair = parted(night, "ecommerce validate")
    assert [line.split()[1] for line in failing(look, shop)] == ["doctor"]
    assert kept.items() <= shop.tables().items()
    shop.generate(*day)
    repair, proceed = parted(repair, "ecommerce run --continue")
    assert failing(repair, shop) == []
    today = shop.tables()
    assert today["mart.top_skus"] != yesterday["mart.top_skus"]
    (shop.home / "reports").rename(shop.home / "away")
    (shop.home / "reports").touch()
    assert shop.invoke("run", "report.sales").code == 1
    (shop.home / "reports").unlink()
    proceed, restore = parted(proceed, "cp backups")
    assert failing(proceed, shop) == []
    assert [*(shop.home / "reports").iterdir()]
    restore, later = parted(restore, "ecommerce run")
    assert failing(restore, shop) == []
    assert shop.tables() == yesterday
    assert failing(later, shop) == []
    assert shop.tables() == today


def parted(lines: list[str], text: str) -> tuple[list[str], list[str]]:
    """The lines before the first one that starts so, and the others."""
    place = next(place for place, line in enumerate(lines) if line.startswith(text))
    return lines[:place], lines[place:]


def failing(lines: list[str], shop: Shop) -> list[str]:
    """The lines that do not succeed, in a shop that has neither alerts nor a DuckLake."""
    others = ("ecommerce alerts", "ecommerce warehouse", "export ")
    return [line for line in lines if not line.startswith(others) and ended_with(line, shop)]


def ended_with(line: str, shop: Shop) -> int:
    """The exit code of a line in a shop, whose state is elsewhere."""
    for name in (".ecommerce/", "backups", "ecommerce.prom"):
        line = line.replace(f" {name}", f" {shop.home}/{name.removeprefix('.ecommerce/')}")
    program, *arguments = shlex.split(line.partition(" > ")[0], comments=True)
    variables = {"DAGSTER_HOME": str(shop.home / "dagster")}
    if program == "ecommerce":
        return shop.invoke(*arguments, **variables).code
    return shop.run(program, *arguments, **variables).code


def test_what_is_not_run_is_run_by_the_test_that_is_named() -> None:
    texts = examples()
    for beginning, reason in NOT_RUN.items():
        assert any(text.startswith(beginning) for text in texts), beginning
        assert (ROOT / "tests" / reason.rpartition(": ")[2]).exists(), reason
