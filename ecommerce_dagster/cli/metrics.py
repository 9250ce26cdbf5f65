"""`ecommerce metrics`: the numbers of `ecommerce doctor` for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ecommerce_dagster.cli.dev import require_free
from ecommerce_dagster.cli.doctor import read_files, setup_of
from ecommerce_dagster.errors import FolderError
from ecommerce_dagster.health.examine import health_of
from ecommerce_dagster.health.metrics import Sample, registry_of, samples_of


def publish(options: Mapping[str, Any], textfile: Path | None, port: int | None, host: str) -> None:
    """Print the numbers of the pipeline that the options of the command name, replace `textfile`
    by them, or serve them at a port until Ctrl-C. Raises ProjectError, MissingExtra,
    FolderError."""
    project, files = read_files(options)

    def samples() -> Mapping[str, Sequence[Sample]]:
        with setup_of(project) as (setup, found):
            return samples_of(setup, [*files, *found, *health_of(setup)])

    registry = registry_of(samples)
    import prometheus_client

    if textfile is not None:
        try:
            # It replaces the file in one step: a reader sees the old one or the new one.
            prometheus_client.write_to_textfile(str(textfile), registry)
        except OSError as error:
            raise FolderError(f"{textfile} cannot hold the metrics: {error.strerror}") from None
    elif port is not None:
        require_free(host, port)
        server, _ = prometheus_client.start_http_server(port, host, registry)
        click.echo(f"Metrics are at http://{host}:{port}/metrics (Ctrl-C stops it)")
        try:
            threading.Event().wait()
        finally:
            server.shutdown()
    else:
        click.echo(prometheus_client.generate_latest(registry).decode(), nl=False)
