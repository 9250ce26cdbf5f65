"""`ecommerce dev`: Dagster's web UI over the local data, and nothing left behind when it stops."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from ecommerce_dagster import local
from ecommerce_dagster.bruin.discovery import pipeline_folders
from ecommerce_dagster.cli.instance import dagster_instance
from ecommerce_dagster.cli.local_services import local_services_of
from ecommerce_dagster.cli.workspace import pipelines_here
from ecommerce_dagster.errors import MissingExtra

_HOST = "127.0.0.1"
_STOP_SECONDS = 20
_prctl, _PR_SET_PDEATHSIG = getattr(ctypes.CDLL(None), "prctl", None), 1


def run_dev(port: int) -> int:
    """`dagster dev` on 127.0.0.1 for the pipeline here, while its servers run. Returns the exit
    code of `dagster dev`.

    Raises MissingExtra without a web server.
    """
    if find_spec("dagster_webserver") is None:
        raise MissingExtra("Dagster's pages need dagster-webserver", "webserver")
    folder = pipelines_here()
    if not pipeline_folders(folder):
        raise click.ClickException(f"there is no pipeline.yml in, below or above {folder}")
    local.load_environment(folder)
    home = local.dagster_home()
    require_free(_HOST, port)
    with dagster_instance():
        pass  # its databases exist before several processes open them at once
    with local_services_of(folder).running():
        click.echo(f"Dagster is starting at http://{_HOST}:{port} (Ctrl-C stops it)")
        click.echo("After a change to a file: Reload definitions, on its Lineage page.")
        command = [
            str(Path(sys.executable).with_name("dagster")),
            *("dev", "-m", local.CODE_LOCATION, "-h", _HOST, "-p", str(port)),
        ]
        variables = {
            "DAGSTER_HOME": str(home),
            "ECOMMERCE_PIPELINE": str(folder),
            "ECOMMERCE_WATCH": "1",
        }
        # Beside its own dagster.yaml: Dagster warns when it finds another one where it is started.
        return run_command(command, {**os.environ, **variables}, cwd=home)


def run_command(
    command: Sequence[str], environment: dict[str, str], cwd: Path | None = None
) -> int:
    """Run a command in the foreground; SIGINT and SIGTERM reach it, and it is waited for."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=cwd,
        preexec_fn=_set_signals,  # noqa: PLW1509 - no other thread runs that could hold a lock
        start_new_session=True,
    )

    def forward(number: int, frame: object) -> None:
        process.send_signal(signal.SIGINT)

    handlers = {
        number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return process.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _end(process)


def _set_signals() -> None:
    """In the child. A shell that starts us in the background has SIGINT ignored: Dagster would
    never stop. When we are killed, Linux sends it SIGINT: nothing else could."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whatever the command left in its process group ends with it."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def require_free(host: str, port: int) -> None:
    """Raise ClickException when a port is taken or cannot be used."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise click.ClickException(
                f"port {port} is taken; choose another one with --port"
            ) from None
