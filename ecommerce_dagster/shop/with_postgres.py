"""`ecommerce with-postgres`: any command while the shop's database is up."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ecommerce_dagster import local
from ecommerce_dagster.cli.dev import run_command
from ecommerce_dagster.shop.source import postgres


def run_with_postgres(command: Sequence[str]) -> int:
    """Run a command while the local PostgreSQL is up. Returns its exit code."""
    local.load_environment()
    local.dagster_home()
    with postgres():
        scripts = str(Path(sys.executable).parent)
        path = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
        try:
            return run_command(command, {**os.environ, "PATH": path})
        except FileNotFoundError:
            click.echo(f"there is no command '{command[0]}'", err=True)
            return 127
