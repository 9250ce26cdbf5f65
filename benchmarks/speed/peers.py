"""The alternatives, each in an environment of its own, with the versions that were compared."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# dbt-core 1.12 needs a file that only GitHub has.
REQUIREMENTS = {
    "dlt": (
        "connectorx==0.4.6",
        "dagster==1.13.27",
        "dagster-dbt==0.29.27",
        "dagster-dlt==0.29.27",
        "dagster-webserver==1.13.27",
        "dbt-core==1.11.16",
        "dbt-duckdb==1.11.1",
        "dlt[duckdb]==1.31.0",
        "duckdb==1.5.5",
        "psycopg2-binary==2.9.13",
        "pyarrow==26.0.1",
        "sqlalchemy==2.0.58",
    ),
    "ingestr": ("ingestr==0.14.155",),
}


@dataclass(frozen=True)
class Peer:
    """An environment with one of the alternatives."""

    bin: Path

    @property
    def python(self) -> str:
        return str(self.bin / "python")

    def script(self, name: str) -> str:
        return str(self.bin / name)


def install(name: str, folder: Path) -> Peer:
    """The environment of an alternative, made unless it is there."""
    home = folder / name
    if not (home / "complete").exists():
        uv = str(ROOT / "scripts" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", str(home)], check=True)
        python = ("--python", str(home / "bin" / "python"))
        command = [uv, "pip", "install", "--quiet", "--compile-bytecode", *python]
        subprocess.run([*command, *REQUIREMENTS[name]], check=True)
        (home / "complete").touch()
    return Peer(home / "bin")
