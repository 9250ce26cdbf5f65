"""A Python asset: a file that runs in a process of its own, and the rows it returns."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ecommerce_dagster.bruin.model.asset import Asset
from ecommerce_dagster.bruin.model.interval import Interval
from ecommerce_dagster.bruin.problems import ProblemLog
from ecommerce_dagster.bruin.templates.render import RunContext
from ecommerce_dagster.python_assets import runner
from ecommerce_dagster.python_assets.asset import (
    PythonLoad,
    environment_of,
    run_python,
)
from ecommerce_dagster.python_assets.environments import Wanted, find_uv, interpreter_of
from ecommerce_dagster.python_assets.lint import lint_python
from ecommerce_dagster.python_assets.requirements import requirements_of, version_of_image
from ecommerce_dagster.warehouses.base import BuildResult
from ecommerce_dagster.warehouses.sql_asset import AssetError, MistakeError
from ingestion_files.helpers import Rows, asset_at, build, problems, types

TABLE = "materialization: {type: table}"
MERGE = """
    materialization: {type: table, strategy: merge}
    columns:
      - {name: id, primary_key: true}
"""


needs_uv = pytest.mark.skipif(find_uv() is None, reason="uv is not installed")


def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")


def write_wheel(folder: Path, name: str, version: str, code: str) -> None:
    """A wheel of a module that prints its WORD when it is called as a program."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"{code}\ndef main(): print(WORD)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


def write_sdist_that_hangs(folder: Path) -> None:
    """A source distribution whose build does not end."""
    files = {
        "pyproject.toml": "[build-system]\nrequires=[]\nbuild-backend='b'\nbackend-path=['.']\n",
        "b.py": "import time\ntime.sleep(60)\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n",
    }
    with tarfile.open(folder / "slow-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"slow-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def other_python(minor: int) -> Path | None:
    """An interpreter of that version on this machine that starts."""
    home = os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"
    folders = [*Path(home).glob(f"versions/3.{minor}.*/bin")]
    folders += [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    for path in (folder / f"python3.{minor}" for folder in folders):
        if path.is_file() and not subprocess.call([path, "-c", ""], stderr=-3):
            return path
    return None


class Project:
    """A folder with a pipeline, and a warehouse."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "shop/assets/raw/made.py"
        self.output: list[str] = []
        self.warehouse = duckdb.connect(":memory:")

    def write(self, code: str, header: str = "") -> Asset:
        """The asset with this code below a header of this YAML."""
        text = f'"""@bruin\nname: raw.made\n{dedent(header).strip()}\n@bruin"""\n\n{dedent(code)}'
        return asset_at(self.file, text)

    def run(
        self,
        asset: Asset,
        variables: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Path | None:
        return run_python(
            asset, self.root, variables or {}, on_output=self.output.append, timeout=timeout
        )

    def build(self, code: str, header: str = TABLE, *, full_refresh: bool = False) -> BuildResult:
        """Run the code and load what it returns."""
        asset = self.write(code, header)
        parts = self.run(asset)
        try:
            return build(self.warehouse, asset, PythonLoad(asset, parts, full_refresh))
        finally:
            if parts is not None:
                shutil.rmtree(parts)

    def returns(self, expression: str, header: str = TABLE) -> BuildResult:
        """Load what this expression is, as if materialize() had returned it."""
        asset, names = self.write("def materialize(): ...", header), {"D": Decimal, "dt": dt}
        with tempfile.TemporaryDirectory() as folder:
            value = eval(
                expression, {"uuid": uuid, "duckdb": duckdb, "pd": pd, "pl": pl, "pa": pa, **names}
            )
            runner.write(value, Path(folder))
            found = json.loads(Path(folder, "result.json").read_text())
            load = PythonLoad(asset, Path(folder) if found["rows"] is not None else None)
            return build(self.warehouse, asset, load)

    def fails(self, code: str, header: str = TABLE, timeout: float | None = None) -> str:
        """The error of this code, with paths that begin at the project."""
        asset = self.write(code, header)
        with pytest.raises(AssetError) as caught:
            build(self.warehouse, asset, PythonLoad(asset, self.run(asset, timeout=timeout)))
        return str(caught.value).replace(f"{self.root}/shop/assets/raw/", "")

    @property
    def rows(self) -> Rows:
        return self.warehouse.execute("FROM raw.made").fetchall()

    @property
    def types(self) -> dict[str, str]:
        return types(self.warehouse, "raw.made")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.warehouse.close()


@pytest.fixture(autouse=True)
def tidy(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folders go where the test looks that none is left behind."""
    folder = tmp_path_factory.mktemp("results")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


class TestAPlainScript:
    """Without a materialization."""

    def test_runs_and_its_output_comes_line_by_line(self, project: Project, tidy: Path) -> None:
        asset = project.write("import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint('é')")
        assert project.run(asset) is None
        assert project.output == ["one", "two", "é"]
        assert list(tidy.iterdir()) == []

    def test_output_is_told_while_it_runs(self, project: Project) -> None:
        told: list[float] = []
        asset = project.write("import time\nprint('a')\ntime.sleep(1.5)\nprint('b')")
        run_python(asset, project.root, {}, on_output=lambda line: told.append(time.monotonic()))
        assert told[1] - told[0] > 1

    def test_is_the_main_module_in_the_root_of_the_project(self, project: Project) -> None:
        project.run(
            project.write("import os, sys\nprint(__name__, os.getcwd(), sys.argv, __file__)")
        )
        file = str(project.file)
        assert project.output == [f"__main__ {project.root} {[file]} {file}"]

    def test_imports_from_its_folder_and_from_the_root(self, project: Project) -> None:
        asset = project.write("import beside\nfrom shop.lib import far\nprint(beside.x, far.y)")
        (project.file.parent / "beside.py").write_text("x = 1")
        (project.root / "shop/lib").mkdir()
        (project.root / "shop/lib/far.py").write_text("y = 2")
        project.run(asset)
        assert project.output == ["1 2"]

    def test_its_name_hides_no_package(self, project: Project) -> None:
        project.file = project.file.with_name("json.py")
        asset = project.write(
            "import json, yaml\nprint(json.dumps([1]), json.__file__ != __file__)"
        )
        (project.file.parent / "yaml.py").write_text("raise SystemExit('the wrong yaml')")
        project.run(asset)
        assert project.output == ["[1] True"]

    def test_takes_over_the_environment_and_what_it_is_given(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FROM_OUTSIDE", "out")
        monkeypatch.setenv("PYTHONPATH", "/some/where")
        code = (
            "import os, sys\n"
            "print(os.environ['FROM_OUTSIDE'], os.environ['BRUIN_THIS'], '/some/where' in sys.path)"
        )
        project.run(project.write(code), {"BRUIN_THIS": "raw.made"})
        assert project.output == ["out raw.made True"]

    @pytest.mark.parametrize("end", ["", "import sys; sys.exit(0)", "import os; os._exit(0)"])
    def test_exit_code_0_is_success(self, project: Project, end: str) -> None:
        assert project.run(project.write(f"print('x')\n{end}")) is None

    @pytest.mark.parametrize(
        ("end", "message"),
        [
            ("import sys; sys.exit(3)", "made.py:7: it ended with exit code 3\n"),
            ("import sys; sys.exit('no data')", "made.py:7: no data\n"),
            ("import os; os._exit(4)", "made.py:6: it ended with exit code 4\nabout to end"),
            (
                "import os; os.kill(os.getpid(), 9)",
                "made.py:6: it was ended by SIGKILL, perhaps for lack of memory\nabout to end",
            ),
            ("import os; os.abort()", "made.py:6: it was ended by SIGABRT\nabout to end"),
        ],
    )
    def test_any_other_end_is_a_failure(self, project: Project, end: str, message: str) -> None:
        found = project.fails(f"print('about to end')\n{end}", "owner: me")
        assert found.startswith(message), found

    def test_its_checks_have_nothing_to_do_with_materialize(self, project: Project) -> None:
        assert project.build("def materialize(): return [{'a': 1}]", "owner: me").rows is None


class TestAnError:
    """In the user's file."""

    def test_points_to_the_line_of_the_file(self, project: Project) -> None:
        found = project.fails(
            """
            def rate(n):
                return 1 / n

            def materialize():
                return [{"a": rate(0)}]
            """
        )
        first, *rest = found.splitlines()
        assert first == "made.py:8: ZeroDivisionError: division by zero"
        assert rest[0] == "Traceback (most recent call last):"
        assert rest[-1] == "ZeroDivisionError: division by zero"
        assert "python_runner" not in found
        assert '    return [{"a": rate(0)}]' in found
        assert "ZeroDivisionError: division by zero" in project.output

    def test_inside_of_a_library_points_to_the_call(self, project: Project) -> None:
        found = project.fails("import json\n\ndef materialize():\n    return json.loads('{')")
        assert found.startswith("made.py:9: json.decoder.JSONDecodeError: Expecting property name")

    def test_in_a_generator_after_many_rows(self, project: Project, tidy: Path) -> None:
        found = project.fails(
            "def materialize():\n"
            "    for n in range(25_000):\n        yield {'n': n}\n    raise KeyError('page 2')"
        )
        assert found.startswith("made.py:9: KeyError: 'page 2'")
        assert list(tidy.iterdir()) == []

    def test_of_syntax_points_to_its_line(self, project: Project) -> None:
        assert project.fails("x = 1\ndef materialize(:").startswith("made.py:7: SyntaxError: ")

    def test_shows_only_the_end_of_a_long_traceback(self, project: Project) -> None:
        code = "def f(n):\n    return f(n - 1) if n else 1 / 0\n\ndef materialize():\n    f(50)"
        assert len(project.fails(code).splitlines()) <= 11

    def test_keeps_the_table_as_it_was(self, project: Project) -> None:
        project.returns("[{'a': 1}]")
        project.fails("def materialize(): raise ValueError")
        assert project.rows == [(1,)]


class TestTheTime:
    """A run may take, and what it leaves behind."""

    def test_that_is_over_ends_all_processes(self, project: Project) -> None:
        asset = project.write(
            """
            import subprocess, sys, time
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            print(child.pid)
            time.sleep(60)
            """,
            "timeout: 1500ms",
        )
        started = time.monotonic()
        with pytest.raises(
            AssetError, match=r'made.py:3: asset "raw.made" timed out after 1500ms$'
        ):
            project.run(asset, timeout=1.5)
        assert time.monotonic() - started < 5
        assert gone(int(project.output[0]))

    def test_of_a_script_that_will_not_end_is_over_too(self, project: Project) -> None:
        code = """
            import os, signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print(os.getpid())
            os.close(1), os.close(2)
            time.sleep(60)
        """
        started = time.monotonic()
        with pytest.raises(AssetError, match="timed out after 1s"):
            project.run(project.write(code), timeout=1)
        assert time.monotonic() - started < 8
        assert gone(int(project.output[0]))

    def test_is_not_spent_on_what_a_script_leaves_running(self, project: Project) -> None:
        code = """
            import subprocess, sys
            command = [sys.executable, "-c", "import time; time.sleep(60)"]
            print(subprocess.Popen(command).pid)
            print(subprocess.Popen(command, start_new_session=True).pid)
        """
        started = time.monotonic()
        project.run(project.write(code))
        left, away = map(int, project.output)
        assert time.monotonic() - started < 10
        assert gone(left)
        os.kill(away, signal.SIGKILL)  # it left on purpose

    def test_waiting_for_all_children_waits_for_no_stranger(self, project: Project) -> None:
        code = """
            import os
            try:
                os.wait()
            except ChildProcessError:
                print("no children")
        """
        project.run(project.write(code), timeout=10)
        assert project.output == ["no children"]

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_ends_with_the_process_that_waits_for_it(
        self, project: Project, tmp_path: Path, tidy: Path, number: signal.Signals
    ) -> None:
        pids = tmp_path / "pids"
        asset = project.write(
            f"""
            import os, subprocess, sys
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            with open({str(pids)!r}, "w") as file:
                file.write(f"{{os.getpid()}} {{child.pid}}\\n")
            sum(range(10 ** 12))
            """
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", dedent(f"""
                from pathlib import Path
                from ingestion_files.helpers import asset_at
                from ecommerce_dagster.python_assets.asset import run_python
                asset = asset_at(Path({str(asset.path)!r}), Path({str(asset.path)!r}).read_text())
                run_python(asset, Path({str(project.root)!r}), {{}}, on_output=print)
            """)],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
            parent.send_signal(number)
            parent.wait(60)
        finally:
            parent.kill()
        started = time.monotonic()
        assert all(gone(int(pid)) for pid in pids.read_text().split())
        assert time.monotonic() - started < 5
        assert list(tidy.iterdir()) == []


class TestRows:
    """What `materialize()` may return."""

    def test_as_a_list_of_dicts_keep_their_types(self, project: Project) -> None:
        built = project.returns(
            "[{'i': 1, 'f': 1.5, 's': '007', 'b': True, 'd': D('1.10'), 'day': dt.date(2020, 1, 2),"
            " 'naive': dt.datetime(2020, 1, 2, 3), 'x': b'x', 'l': [1, 2], 'o': {'k': 'v'},"
            " 'aware': dt.datetime(2020, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2))),"
            " 't': dt.time(4, 5), 'span': dt.timedelta(hours=1), 'n': None,"
            " 'u': uuid.UUID(int=5)}, {}]"
        )
        assert project.types == {
            "i": "BIGINT", "f": "DOUBLE", "s": "VARCHAR", "b": "BOOLEAN", "d": "DECIMAL(3,2)",
            "day": "DATE", "naive": "TIMESTAMP", "x": "BLOB", "l": "BIGINT[]",
            "o": "STRUCT(k VARCHAR)", "aware": "TIMESTAMP WITH TIME ZONE", "t": "TIME",
            "span": "INTERVAL", "n": "INTEGER", "u": "UUID",
        }  # fmt: skip
        first, second = project.rows
        assert first[:9] == (
            1, 1.5, "007", True, Decimal("1.10"), date(2020, 1, 2), datetime(2020, 1, 2, 3), b"x",
            [1, 2],
        )  # fmt: skip
        assert first[9] == {"k": "v"}
        assert first[10] == datetime(2020, 1, 2, 1, tzinfo=UTC)
        assert first[11:14] == (clock(4, 5), timedelta(hours=1), None)
        assert str(first[14]).endswith("05")
        assert second == (None,) * 15
        assert built.loaded.rows_written == 2

    def test_take_the_declared_types(self, project: Project) -> None:
        header = """
            materialization: {type: table}
            columns:
              - {name: code, type: varchar}
              - {name: day, type: date}
              - {name: price, type: 'numeric(10,2)'}
              - {name: empty, type: timestamp}
        """
        project.returns("[{'code': 7, 'day': '2020-01-02', 'price': '1.5', 'empty': None}]", header)
        assert project.types == {
            "code": "VARCHAR", "day": "DATE", "price": "DECIMAL(10,2)", "empty": "TIMESTAMP",
        }  # fmt: skip
        assert project.rows == [("7", date(2020, 1, 2), Decimal("1.50"), None)]
        asset = project.write("def materialize(): return [{'day': 'soon'}]", header)
        with pytest.raises(AssetError, match="the column day holds soon, which does not fit"):
            build(project.warehouse, asset, PythonLoad(asset, project.run(asset)))

    @pytest.mark.parametrize(
        "expression",
        [
            "pd.DataFrame({'a': [1, 2], 'b': ['x', None]})",
            "pl.DataFrame({'a': [1, 2], 'b': ['x', None]})",
            "pl.LazyFrame({'a': [1, 2], 'b': ['x', None]})",
            "pa.table({'a': [1, 2], 'b': ['x', None]})",
            "pa.table({'a': [1, 2], 'b': ['x', None]}).to_batches()[0]",
            "pa.table({'a': [1, 2], 'b': ['x', None]}).to_reader()",
            "duckdb.sql(\"FROM (VALUES (1::BIGINT, 'x'), (2, NULL)) t(a, b)\")",
            "[{'a': 1, 'b': 'x'}, {'a': 2, 'b': None}]",
            "({'a': 1, 'b': 'x'}, {'a': 2})",
            "iter([{'a': 1, 'b': 'x'}, None, {'a': 2}])",
            "({'a': n, 'b': {1: 'x'}.get(n)} for n in (1, 2))",
            "(pl.DataFrame({'a': [n], 'b': [{1: 'x'}.get(n)]}) for n in (1, 2))",
            "[pd.DataFrame({'a': [1], 'b': ['x']}), {'a': 2, 'b': None}]",
        ],
    )
    def test_come_in_many_forms(self, project: Project, expression: str) -> None:
        project.returns(expression)
        assert project.types == {"a": "BIGINT", "b": "VARCHAR"}
        assert project.rows == [(1, "x"), (2, None)]

    def test_of_a_generator_keep_their_order_and_little_memory(self, project: Project) -> None:
        built = project.build(
            """
            import re

            def materialize():
                for n in range(1_000_000):
                    yield {"n": n, "text": f"some text of row {n} and more " * 5}
                # Of this program alone: getrusage counts the one that was forked for it as well.
                print(re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read())[1])
            """
        )
        assert built.rows == 1_000_000
        assert project.warehouse.execute(
            "SELECT count(*) FROM (SELECT n, rowid FROM raw.made) WHERE n = rowid"
        ).fetchall() == [(1_000_000,)]
        kilobytes = int(project.output[-1])
        assert kilobytes < 400_000, f"{kilobytes:,} KB for 150 MB of rows"

    def test_may_widen_their_types_and_columns_on_the_way(self, project: Project) -> None:
        project.build(
            """
            def materialize():
                for n in range(30_001):
                    row = {"n": n if n < 30_000 else 0.5, "late": None, "o": {"a": n}, "l": [None]}
                    if n >= 20_000:
                        row |= {"late": "x", "new": True, "o": {"b": 1.5}, "l": ["y"]}
                    yield row
            """
        )
        assert project.types == {
            "n": "DOUBLE", "late": "VARCHAR", "o": "STRUCT(a BIGINT, b DOUBLE)", "l": "VARCHAR[]",
            "new": "BOOLEAN",
        }  # fmt: skip
        assert project.rows[0] == (0.0, None, {"a": 0, "b": None}, [None], None)
        assert project.rows[-1] == (0.5, "x", {"a": None, "b": 1.5}, ["y"], True)
        assert len(project.rows) == 30_001

    @pytest.mark.parametrize(
        ("values", "kind", "found"),
        [
            ("1, 2.5", "DOUBLE", [1.0, 2.5]),
            ("1, D('2.50')", "DECIMAL(3,2)", [Decimal("1.00"), Decimal("2.50")]),
            ("2**70, 1", "DECIMAL(22,0)", [Decimal(2**70), Decimal(1)]),
            ("-2**63, 1", "BIGINT", [-(2**63), 1]),
            ("float('nan'), None", "DOUBLE", ["nan", None]),
            ("dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5)", "TIMESTAMP",
             [datetime(2020, 1, 1), datetime(2020, 1, 1, 5)]),
            ("[1], [2.5]", "DOUBLE[]", [[1.0], [2.5]]),
            ("{}, None", "INTEGER", [None, None]),
        ],
    )  # fmt: skip
    def test_may_mix_what_fits_together(
        self, project: Project, values: str, kind: str, found: list[Any]
    ) -> None:
        project.returns(f"[{{'x': x}} for x in ({values})]")
        assert project.types == {"x": kind}
        assert ["nan" if str(x) == "nan" else x for (x,) in project.rows] == found

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ("1, 'x'", "the column x holds values of int and str; return values of one type (Coul"),
            ("True, 1", "the column x holds values of bool and int; return values of one type (C"),
            ("[1], {'a': 1}", "the column x holds values of dict and list; return values of one"),
            ("b'x', 'x'", "the column x holds bytes and texts; return values of one type"),
            ("2**200, 1", "the column x holds an integer of more than 38 digits"),
            ("[2**200], [1]", "the column x: Python int too large"),
            ("2**53 + 1, 0.5", "the column x holds values of float and int; return values of one type"),
            ("object(), 1", "the column x holds values of int and object; return values of one"),
            ("object(), None", "the column x: Could not convert <object object"),
            ("dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)",
             "the column x holds datetimes with a time zone and without; return one kind"),
        ],
    )  # fmt: skip
    def test_may_not_mix_what_does_not(self, project: Project, values: str, message: str) -> None:
        with pytest.raises(runner.ResultError) as caught:
            project.returns(f"[{{'x': x}} for x in ({values})]")
        assert str(caught.value).startswith(message)

    @pytest.mark.parametrize(
        ("early", "late", "message"),
        [
            ("1", "'x'", "is int64 in the first 10,000 rows and then large_string"),
            ("b'x'", "'x'", "is binary in the first 10,000 rows and then large_string"),
            ("2**53 + 1", "0.5", None),
        ],
    )
    def test_may_not_change_their_kind_on_the_way(
        self, project: Project, early: str, late: str, message: str | None
    ) -> None:
        with pytest.raises(runner.ResultError) as caught:
            project.returns(f"[{{'x': {early}}}] * 10_000 + [{{'x': {late}}}]")
        expected = f"the column x {message}" if message else "the column x: Integer value 90071992"
        assert str(caught.value).startswith(expected)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("{'a': [1]}", "materialize() returned a dict; return a DataFrame, a pyarrow Table, or "
             "dicts, one for each row"),
            ("5", "materialize() returned an int; "),
            ("'text'", "materialize() returned a str; "),
            ("[1, 2]", "materialize() gave an int among its rows; "),
            ("[{'a': 1, 'A': 2}]", "the columns a and A differ only in case; rename one"),
            ("[{'1': 1, 1: 2}]", "the rows have two keys that read 1; use one"),
        ],
    )  # fmt: skip
    def test_must_be_rows(self, project: Project, value: str, message: str) -> None:
        with pytest.raises(runner.ResultError) as caught:
            project.returns(value)
        assert str(caught.value).startswith(message)

    def test_that_are_none_point_to_the_function(self, project: Project) -> None:
        found = project.fails("x = 1\n\ndef materialize():\n    return x")
        assert found == (
            "made.py:8: materialize() returned an int; "
            "return a DataFrame, a pyarrow Table, or dicts, one for each row"
        )

    def test_must_not_come_from_a_coroutine(self, project: Project) -> None:
        found = project.fails("async def materialize():\n    return [{'a': 1}]")
        assert found.startswith("made.py:6: materialize() returned something to await; ")

    def test_do_not_mind_what_the_script_prints(self, project: Project) -> None:
        project.build(
            "import os\ndef materialize():\n    print('PAR1')\n"
            "    os.write(1, b'\\xff\\x00raw\\n')\n    os.close(1)\n    return [{'a': 1}]"
        )
        assert project.rows == [(1,)]
        assert project.output == ["PAR1", "\ufffd\x00raw"]


class TestPandas:
    """Types and gaps of pandas."""

    def test_gaps_are_null(self, project: Project) -> None:
        project.build(
            """
            import datetime as dt
            import numpy as np
            import pandas as pd

            def materialize():
                return pd.DataFrame({
                    "f": [1.5, np.nan], "i": pd.array([1, None], dtype="Int64"),
                    "s": ["x", None], "b": pd.array([True, None], dtype="boolean"),
                    "t": pd.to_datetime(["2020-01-02", None]), "c": pd.Categorical(["u", None]),
                    "o": [dt.date(2020, 1, 2), float("nan")], "z": [pd.NA, pd.NaT],
                    "w": pd.to_datetime(["2020-01-02", None]).tz_localize("Europe/Berlin"),
                    "d": pd.to_timedelta(["1h", None]),
                })
            """
        )
        assert project.types == {
            "f": "DOUBLE", "i": "BIGINT", "s": "VARCHAR", "b": "BOOLEAN", "t": "TIMESTAMP",
            "c": "VARCHAR", "o": "DATE", "z": "INTEGER", "w": "TIMESTAMP WITH TIME ZONE",
            "d": "INTERVAL",
        }  # fmt: skip
        assert project.rows[0][:8] == (
            1.5, 1, "x", True, datetime(2020, 1, 2), "u", date(2020, 1, 2), None,
        )  # fmt: skip
        assert project.rows[0][8:] == (datetime(2020, 1, 1, 23, tzinfo=UTC), timedelta(hours=1))
        assert project.rows[1] == (None,) * 10

    def test_a_named_index_is_a_column_and_a_plain_one_is_not(self, project: Project) -> None:
        frame = "pd.DataFrame({'k': ['a', 'a', 'b'], 'v': [1, 2, 3]})"
        project.returns(f"{frame}.groupby('k').sum()")
        assert project.rows == [("a", 3), ("b", 3)]
        project.returns(f"{frame}.sort_values('v', ascending=False)")
        assert project.rows == [("b", 3), ("a", 2), ("a", 1)]
        assert list(project.types) == ["k", "v"]

    def test_mixed_objects_are_refused_by_column(self, project: Project) -> None:
        found = project.fails(
            "import pandas as pd\ndef materialize():\n    return pd.DataFrame({'m': [1, 'x']})"
        )
        assert found.startswith("made.py:7: the column m holds values of int and str; return ")

    def test_the_same_column_twice_is_refused(self, project: Project) -> None:
        found = project.fails(
            "import pandas as pd\n"
            "def materialize():\n    return pd.DataFrame([[1, 2]], columns=['m', 'm'])"
        )
        assert found.startswith("made.py:7: the column m stands twice in the DataFrame; rename one")

    def test_nanoseconds_stay_where_there_are_some(self, project: Project) -> None:
        stamp = "pd.Series([{}], dtype='datetime64[ns]').to_frame('t')"
        project.returns(stamp.format("1_000"))
        assert project.types == {"t": "TIMESTAMP"}
        project.returns(stamp.format("1_001"))
        assert project.types == {"t": "TIMESTAMP_NS"}


class TestPolars:
    """Types and gaps of polars."""

    def test_nan_is_a_value_and_null_is_none(self, project: Project) -> None:
        project.returns("pl.DataFrame({'f': [float('nan'), None, 1.0]})")
        assert [str(f) for (f,) in project.rows] == ["nan", "None", "1.0"]

    def test_types_survive(self, project: Project) -> None:
        project.build(
            """
            import datetime as dt
            from decimal import Decimal
            import polars as pl

            def materialize():
                return pl.DataFrame({
                    "c": pl.Series(["x"], dtype=pl.Categorical),
                    "u": pl.Series([5], dtype=pl.UInt8),
                    "d": pl.Series([Decimal("1.5")], dtype=pl.Decimal(10, 2)),
                    "t": [dt.time(1, 2)], "span": [dt.timedelta(days=1)], "l": [["a"]],
                    "o": [{"k": 1}], "n": pl.Series([None], dtype=pl.Null),
                    "at": pl.Series([dt.datetime(2020, 1, 2)], dtype=pl.Datetime("ms", "UTC")),
                })
            """
        )
        assert project.types == {
            "c": "VARCHAR", "u": "UTINYINT", "d": "DECIMAL(10,2)", "t": "TIME",
            "span": "INTERVAL", "l": "VARCHAR[]", "o": "STRUCT(k BIGINT)", "n": "INTEGER",
            "at": "TIMESTAMP WITH TIME ZONE",
        }  # fmt: skip
        assert project.rows == [
            ("x", 5, Decimal("1.50"), clock(1, 2), timedelta(days=1), ["a"], {"k": 1}, None,
             datetime(2020, 1, 2, tzinfo=UTC)),
        ]  # fmt: skip


def test_frozen_columns_stay(project: Project) -> None:
    frozen = f"{TABLE}\nparameters: {{schema_contract: freeze}}"
    project.returns("[{'a': 1}]", frozen)
    project.returns("[{'a': 2}]", frozen)
    for changed in ("[{'a': 3, 'b': 1}]", "[{'a': 'x'}]", "[{'b': 1}]"):
        with pytest.raises(AssetError, match="and `schema_contract: freeze` keeps these"):
            project.returns(changed, frozen)
        assert project.rows == [(2,)]


class TestNothing:
    """To load."""

    def test_none_leaves_the_table_alone(self, project: Project, tidy: Path) -> None:
        project.returns("[{'a': 1}]")
        project.returns("None")
        assert project.rows == [(1,)]
        assert list(tidy.iterdir()) == []

    def test_an_empty_frame_empties_the_table_and_keeps_its_types(self, project: Project) -> None:
        project.returns("[{'a': 1, 'b': 'x'}]")
        project.build(
            "import polars as pl\n\ndef materialize():\n"
            "    return pl.DataFrame(schema={'a': pl.Int32, 'b': pl.String})"
        )
        assert project.rows == []
        assert project.types == {"a": "INTEGER", "b": "VARCHAR"}

    def test_an_empty_list_empties_the_table(self, project: Project) -> None:
        project.returns("[{'a': 1, 'b': 'x'}]")
        project.returns("[]")
        assert project.rows == []
        assert project.types == {"a": "BIGINT", "b": "VARCHAR"}

    def test_an_empty_list_appends_nothing(self, project: Project) -> None:
        header = "materialization: {type: table, strategy: append}"
        for expression in ("[{'a': 1}]", "[]", "(x for x in ())"):
            project.returns(expression, header)
        assert project.rows == [(1,)]

    def test_an_empty_list_makes_a_table_of_the_declared_columns(self, project: Project) -> None:
        project.returns("[]", f"{TABLE}\ncolumns: [{{name: a, type: date}}, {{name: b}}]")
        assert project.types == {"a": "DATE", "b": "VARCHAR"}
        assert project.rows == []

    def test_an_empty_list_without_columns_is_no_table(self, project: Project) -> None:
        built = project.build("def materialize(): return []")
        assert built.published
        assert built.loaded.warnings == (
            "materialize() returned no rows, and the file declares no columns: "
            "no table is made of nothing",
        )
        project.build("def materialize():\n    yield from ()")
        with pytest.raises(duckdb.CatalogException):
            assert project.rows


class TestStrategies:
    """How the rows enter the table."""

    def test_create_and_replace(self, project: Project) -> None:
        project.returns("[{'a': 1}]")
        project.returns("[{'b': 'x'}]")
        assert project.types == {"b": "VARCHAR"}

    def test_append_by_name(self, project: Project) -> None:
        header = "materialization: {type: table, strategy: append}"
        project.returns("[{'a': 1, 'b': 2}]", header)
        project.returns("[{'b': 20, 'a': 10, 'c': 30}]", header)
        assert project.rows == [(1, 2, None), (10, 20, 30)]

    def test_merge_replaces_every_column(self, project: Project) -> None:
        project.returns("[{'id': 1, 'v': 'a', 'w': 1}, {'id': 2, 'v': 'b', 'w': 2}]", MERGE)
        project.returns("[{'id': 2, 'v': 'c', 'w': 3}, {'id': 3, 'v': 'd', 'w': 4}]", MERGE)
        assert sorted(project.rows) == [(1, "a", 1), (2, "c", 3), (3, "d", 4)]

    def test_delete_and_insert_replaces_the_keys_that_come(self, project: Project) -> None:
        header = "materialization: {type: table, strategy: delete+insert, incremental_key: day}"
        project.returns("[{'day': 1, 'v': 1}, {'day': 1, 'v': 2}, {'day': 2, 'v': 3}]", header)
        project.returns("[{'day': 1, 'v': 9}]", header)
        assert sorted(project.rows) == [(1, 9), (2, 3)]

    def test_a_full_refresh_begins_anew(self, project: Project) -> None:
        header = "materialization: {type: table, strategy: append}"
        project.returns("[{'a': 1}]", header)
        code = "def materialize(): return [{'b': 2}]"
        project.build(code, header, full_refresh=True)
        assert project.types == {"b": "BIGINT"}
        assert project.rows == [(2,)]

    def test_a_failed_check_keeps_the_rows_out(self, project: Project) -> None:
        header = f"{TABLE}\ncolumns: [{{name: a, checks: [{{name: positive}}]}}]"
        assert project.returns("[{'a': 1}]", header).published
        assert not project.returns("[{'a': -1}]", header).published
        assert project.rows == [(1,)]


class TestTheEnvironment:
    """What a file is told."""

    def test_is_bruins(self, project: Project) -> None:
        asset = project.write("pass", "owner: me")
        interval = Interval(datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 1, 17, tzinfo=UTC))
        run = RunContext(
            interval=interval,
            run_id="run-7",
            pipeline="shop",
            variables={"users": ["a", "b"], "limit": 5},
            schema_prefix="dev_",
            execution_date=datetime(2024, 1, 18, 6, 30, tzinfo=UTC),
        )
        found = environment_of(
            asset,
            run,
            schemas={"limit": {"type": "integer", "default": 5}},
            connection="duckdb-default",
            connection_types={"duckdb-default": "duckdb"},
            secrets={"PG": '{"host": "db"}'},
        )
        assert {name: value for name, value in found.items() if "{" not in value} == {
            "BRUIN_START_DATE": "2024-01-15",
            "BRUIN_START_DATE_NODASH": "20240115",
            "BRUIN_START_DATETIME": "2024-01-15T00:00:00",
            "BRUIN_START_TIMESTAMP": "2024-01-15T00:00:00.000000Z",
            "BRUIN_END_DATE": "2024-01-16",
            "BRUIN_END_DATE_NODASH": "20240116",
            "BRUIN_END_DATETIME": "2024-01-16T23:59:59",
            "BRUIN_END_TIMESTAMP": "2024-01-16T23:59:59.999999Z",
            "BRUIN_EXECUTION_DATE": "2024-01-18",
            "BRUIN_EXECUTION_DATE_NODASH": "20240118",
            "BRUIN_EXECUTION_DATETIME": "2024-01-18T06:30:00",
            "BRUIN_EXECUTION_TIMESTAMP": "2024-01-18T06:30:00.000000Z",
            "BRUIN_RUN_ID": "run-7",
            "BRUIN_PIPELINE": "shop",
            "BRUIN_FULL_REFRESH": "",
            "BRUIN_THIS": "raw.made",
            "BRUIN_ASSET": "raw.made",
            "BRUIN_CONNECTION": "duckdb-default",
            "BRUIN_SCHEMA_PREFIX": "dev_",
        }
        assert json.loads(found["BRUIN_VARS"]) == {"users": ["a", "b"], "limit": 5}
        assert json.loads(found["BRUIN_VARS_SCHEMA"]) == {
            "limit": {"type": "integer", "default": 5}
        }
        assert json.loads(found["BRUIN_CONNECTION_TYPES"]) == {"duckdb-default": "duckdb"}
        assert json.loads(found["PG"]) == {"host": "db"}

    def test_of_a_full_refresh_begins_at_the_start_date(self, project: Project) -> None:
        interval = Interval(datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 1, 16, tzinfo=UTC))
        asset = project.write("pass", "start_date: 2023-05-01")
        found = environment_of(asset, RunContext(interval=interval, full_refresh=True))
        assert found["BRUIN_START_DATE"] == "2023-05-01"
        assert found["BRUIN_END_DATE"] == "2024-01-15"
        assert found["BRUIN_FULL_REFRESH"] == "1"
        found = environment_of(asset, RunContext(interval=interval))
        assert found["BRUIN_START_DATE"] == "2024-01-15"


class TestRequirements:
    """A requirements.txt or pyproject.toml beside the file or further up in the checkout."""

    def test_that_are_installed_change_nothing(self, project: Project) -> None:
        asset = project.write("import sys; print(sys.executable)")
        (project.root / "requirements.txt").write_text(
            "# ours\nduckdb>=1\npytest  # of course\nnothing; python_version < '3'\n"
        )
        project.run(asset)
        assert project.output == [sys.executable]

    @pytest.mark.parametrize("line", ["no-such-package>=1", "duckdb<1", "-r other.txt"])
    def test_that_are_missing_need_uv(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, line: str
    ) -> None:
        without_uv(monkeypatch)
        path = project.file.with_name("requirements.txt")
        asset = project.write("pass")
        path.write_text(f"pytest\n{line}\n")
        with pytest.raises(MistakeError) as caught:
            project.run(asset)
        assert str(caught.value).endswith(
            f"made.py:2: {path} asks for '{line}', which is not installed here; install it, or "
            'uv, which brings it for this asset alone: pip install "ecommerce-dagster[python]"'
        )

    def test_outside_of_the_checkout_do_not_count(self, project: Project) -> None:
        inner = Project(project.root / "inner")
        asset = inner.write("print('fine')")
        (project.root / "requirements.txt").write_text("no-such-package\n")
        inner.run(asset)
        assert inner.output == ["fine"]

    def test_rows_without_pyarrow_are_explained(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blocked = project.root / "blocked"
        blocked.mkdir()
        (blocked / "pyarrow.py").write_text("raise ImportError('not here')")
        monkeypatch.setenv("PYTHONPATH", str(blocked))
        assert project.fails("def materialize(): return [{'a': 1}]") == (
            'made.py:6: rows from Python need pyarrow: pip install "ecommerce-dagster[dataframes]"'
        )

    def test_of_a_project_whose_own_environment_this_is_are_there(self, project: Project) -> None:
        project.write("pass")
        (project.root / "pyproject.toml").write_text(MINE.format("no-such-package"))
        (project.root / "uv.lock").write_text("version = 1")
        (project.root / ".venv").mkdir()
        found = requirements_of(project.file, project.root)
        assert found is not None
        assert found.first_missing == "uv.lock"
        (project.root / ".venv").rmdir()
        (project.root / ".venv").symlink_to(sys.prefix)
        assert replace(found, file=Path(sys.prefix).parent / "pyproject.toml").first_missing is None

    def test_of_a_file_that_is_no_toml_are_an_error(self, project: Project) -> None:
        asset = project.write("pass")
        (project.root / "pyproject.toml").write_text("[project\n")
        with pytest.raises(MistakeError, match=r"pyproject.toml is not valid TOML: .*line 1"):
            project.run(asset)

    def test_a_project_without_packages_is_passed_by(self, project: Project) -> None:
        asset = project.write("import sys; print(sys.executable)")
        (project.root / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
        project.run(asset)
        assert project.output == [sys.executable]

    @pytest.mark.parametrize("requires", ["3.11", "later"])
    def test_a_range_of_versions_that_is_none_is_an_error(
        self, project: Project, requires: str
    ) -> None:
        asset = project.write("pass")
        (project.root / "pyproject.toml").write_text(MINE.format("").replace(">=3.8", requires))
        with pytest.raises(
            MistakeError, match=f"requires-python is '{requires}'; write it as in '>=3.12'"
        ):
            project.run(asset)


MINE = """
[project]
name = "mine"
version = "0.1.0"
requires-python = ">=3.8"
dependencies = [{!r}]
"""


@needs_uv
class TestEnvironments:
    """What uv builds for requirements that are not met here, of wheels that these tests make."""

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Path:
        """Where environments are kept; uv looks for packages in the folder `wheels` alone."""
        folder = tmp_path_factory.mktemp("cache")
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp().parent / "uv"))
        monkeypatch.setenv("UV_NO_INDEX", "1")
        return folder / "ecommerce-dagster/python"

    @pytest.fixture
    def wheels(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = project.root / "wheels"
        folder.mkdir()
        monkeypatch.setenv("UV_FIND_LINKS", str(folder))
        for version in ("1.0", "2.0"):
            write_wheel(folder, "greet", version, f"WORD = 'hello {version}'")
        return folder

    def test_of_a_requirements_file_is_built_once(
        self, project: Project, wheels: Path, cache: Path
    ) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        (project.root / "requirements.txt").write_text("greet<2")
        project.run(asset)
        (folder,) = (path for path in cache.iterdir() if path.is_dir())
        version = ".".join(map(str, sys.version_info[:2]))
        first = f"building the environment of Python {version} with requirements.txt, once, in "
        assert project.output == [f"{first}{folder}", "hello 1.0"]
        project.output.clear()
        project.run(asset)
        assert project.output == ["hello 1.0"]

    def test_for_rows_gets_a_pyarrow_that_works_with_its_packages(
        self, project: Project, wheels: Path, cache: Path
    ) -> None:
        works = "import sys, types\n__path__ = []\nsys.modules['pyarrow.parquet'] = types.ModuleType('p')"
        write_wheel(wheels, "pyarrow", "99.0.0", "raise ImportError('made for another numpy')")
        write_wheel(wheels, "pyarrow", "18.0.0", works)
        (project.root / "requirements.txt").write_text("greet")
        requirements = requirements_of(project.file, project.root)
        wanted = Wanted(sys.executable, requirements, with_rows=True)
        uv = find_uv()
        assert uv is not None
        python = interpreter_of(wanted, uv, on_output=project.output.append, timeout=None)
        [found] = python.parent.parent.rglob("pyarrow-*.dist-info")
        assert found.name == "pyarrow-18.0.0.dist-info"

    def test_is_another_for_other_content_and_the_same_elsewhere(
        self, project: Project, wheels: Path, cache: Path
    ) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        for text, output in (("greet<2", "hello 1.0"), ("greet", "hello 2.0")):
            (project.root / "requirements.txt").write_text(text)
            project.run(asset)
            assert project.output[-1] == output
        other = Project(project.root / "other")
        asset = other.write("import greet; print(greet.WORD)")
        (other.root / "requirements.txt").write_text("greet")
        other.run(asset)
        assert other.output == ["hello 2.0"]

    def test_of_a_project(self, project: Project, wheels: Path) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        (project.root / "pyproject.toml").write_text(MINE.format("greet>1"))
        project.run(asset)
        assert "with pyproject.toml, once" in project.output[0]
        assert project.output[1:] == ["hello 2.0"]
        assert not (project.root / "uv.lock").exists()

    def test_of_a_locked_project_has_the_versions_of_the_lock(
        self, project: Project, wheels: Path
    ) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        path = project.root / "pyproject.toml"
        path.write_text(MINE.format("greet<2"))
        subprocess.run([find_uv() or "uv", "lock"], cwd=project.root, check=True)
        lock = (project.root / "uv.lock").read_text()
        project.run(asset)
        assert project.output[1:] == ["hello 1.0"]
        # One that is out of date is left as it is.
        path.write_text(MINE.format("greet>1"))
        project.run(asset)
        assert project.output[-1] == "hello 2.0"
        assert (project.root / "uv.lock").read_text() == lock

    def test_of_requirements_goes_before_that_of_a_nearer_project(
        self, project: Project, wheels: Path
    ) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        project.file.with_name("pyproject.toml").write_text(MINE.format("greet>1"))
        (project.root / "requirements.txt").write_text("greet<2")
        project.run(asset)
        assert project.output[1:] == ["hello 1.0"]

    def test_of_a_project_below_the_checkout_works_in_its_folder(
        self, project: Project, wheels: Path
    ) -> None:
        asset = project.write(
            "import os, greet, lib.near, shop.lib.near; print(os.getcwd(), lib.near.x)"
        )
        (project.root / "shop/lib").mkdir()
        (project.root / "shop/lib/near.py").write_text("x = 1")
        (project.root / "shop/pyproject.toml").write_text(MINE.format("greet"))
        project.run(asset)
        assert project.output[1:] == [f"{project.root}/shop 1"]

    def test_follows_the_files_that_the_requirements_name(
        self, project: Project, wheels: Path
    ) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        (project.root / "requirements.txt").write_text("-r more.txt")
        (project.root / "more.txt").write_text("greet<2")
        project.run(asset)
        (project.root / "more.txt").write_text("greet>1")
        project.run(asset)
        assert project.output[1::2] == ["hello 1.0", "hello 2.0"]

    def test_of_another_builder_is_waited_for(self, project: Project, wheels: Path) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        (project.root / "requirements.txt").write_text("greet")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: project.run(asset), range(4)))
        assert len([line for line in project.output if "building" in line]) == 1
        assert project.output.count("hello 2.0") == 4

    def test_that_was_left_half_built_is_not_used(
        self, project: Project, wheels: Path, cache: Path
    ) -> None:
        asset = project.write("import greet; print(greet.WORD)")
        (project.root / "requirements.txt").write_text("greet")
        project.run(asset)
        (folder,) = (path for path in cache.iterdir() if path.is_dir())
        shutil.rmtree(folder)
        half = cache / f"{folder.name}.x.new"
        (half / "bin").mkdir(parents=True)
        (half / "bin/python").symlink_to(sys.executable)
        project.run(asset)
        assert project.output[-1] == "hello 2.0"
        assert not half.exists()
        # Nor one whose Python was removed.
        (folder / "bin/python").unlink()
        (folder / "bin/python").symlink_to("/no/such/python")
        project.run(asset)
        assert project.output[-1] == "hello 2.0"

    def test_has_its_programs_on_the_path(self, project: Project, wheels: Path) -> None:
        asset = project.write("import subprocess; subprocess.run(['greet'], check=True)")
        (project.root / "requirements.txt").write_text("greet")
        project.run(asset)
        assert project.output[1:] == ["hello 2.0"]

    def test_that_cannot_be_built_says_what_uv_says_and_leaves_nothing(
        self, project: Project, wheels: Path, cache: Path
    ) -> None:
        asset = project.write("pass")
        (project.root / "requirements.txt").write_text("greet>5")
        with pytest.raises(AssetError) as caught:
            project.run(asset)
        first, *rest = str(caught.value).splitlines()
        assert first.endswith(f"made.py:2: {project.root}/requirements.txt cannot be installed:")
        assert "greet>5" in " ".join(rest)
        assert [path.suffix for path in cache.iterdir()] == [".lock"]

    def test_takes_of_the_time_that_the_asset_has(self, project: Project, wheels: Path) -> None:
        asset = project.write("pass", "timeout: 1s")
        write_sdist_that_hangs(wheels)
        (project.root / "requirements.txt").write_text("slow")
        with pytest.raises(AssetError, match='asset "raw.made" timed out after 1s'):
            project.run(asset, timeout=1)

    def test_that_has_no_place_names_the_variable(
        self, project: Project, wheels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asset = project.write("pass")
        (project.root / "requirements.txt").write_text("greet")
        (project.root / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(project.root / "file"))
        with pytest.raises(AssetError, match="name another place with XDG_CACHE_HOME"):
            project.run(asset)


class TestTheVersion:
    """Of Python, that an image or a project asks for."""

    @pytest.mark.parametrize(
        ("image", "version"),
        [("python:3.13", "3.13"), ("python:3.12.4-slim-bookworm", "3.12.4"), ("python:3", "3"),
         ("docker.io/library/python:3.11", "3.11"), ("python:latest", None), ("python", None),
         ("ghcr.io/me/etl:3.13", None), ("python:slim", None), (None, None), ("", None)],
    )  # fmt: skip
    def test_of_an_image(self, image: str | None, version: str | None) -> None:
        assert version_of_image(image) == version

    @pytest.mark.parametrize("header", ["image: python:3", "image: python:{0}.{1}-slim"])
    def test_that_this_one_is_is_taken_here(self, project: Project, header: str) -> None:
        asset = project.write("import sys; print(sys.executable)", header.format(*sys.version_info))
        project.run(asset)
        assert project.output == [sys.executable]

    def test_needs_uv(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        without_uv(monkeypatch)
        with pytest.raises(MistakeError, match=r"Python 3\.99 is asked for, and this one is 3\."):
            project.run(project.write("pass", "image: python:3.99"))

    @needs_uv
    @pytest.mark.parametrize("by", ["image: python:3.99", "requires-python"])
    def test_that_cannot_be_had_is_said_before_the_code_runs(
        self, project: Project, by: str
    ) -> None:
        asset = project.write("print('ran')", by if ":" in by else "")
        if ":" not in by:
            text = MINE.format("").replace(">=3.8", ">=3.99").replace("['']", "[]")
            (project.root / "pyproject.toml").write_text(text)
        with pytest.raises(MistakeError) as caught:
            project.run(asset)
        message = str(caught.value)
        assert re.search(
            r"made.py:2: Python (>=)?3\.99 is not installed here, and uv cannot", message
        )
        assert f"\nIt is asked for by {by}" in message
        assert "ran" not in project.output

    @needs_uv
    @pytest.mark.parametrize("minor", range(8, 14))
    def test_that_is_on_this_machine_runs_the_file(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, minor: int
    ) -> None:
        found = other_python(minor)
        if found is None:
            pytest.skip(f"there is no Python 3.{minor} here")
        monkeypatch.setenv("PATH", f"{found.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
        project.write("import sys\nprint(sys.version_info[:2])", f"image: python:3.{minor}")
        project.run(project.write(project.file.read_text().split('@bruin"""')[1],
                                  f"image: python:3.{minor}"))  # fmt: skip
        assert project.output[-1] == f"(3, {minor})"
        error = project.fails("def f(): return 1 / 0\nf()", f"image: python:3.{minor}")
        assert error.startswith("made.py:6: ZeroDivisionError")
        error = project.fails("def materialize(:", f"image: python:3.{minor}")
        assert error.startswith("made.py:6: SyntaxError")


class TestLint:
    """What is said before anything runs."""

    @needs_uv
    @pytest.mark.parametrize(
        ("by", "version"),
        [("image: python:3.99", "3.99"), ("image: python:2.7", "2.7"), ("", ">=3.99")],
    )
    def test_a_version_that_cannot_be_had(self, project: Project, by: str, version: str) -> None:
        if not by:
            text = MINE.format("").replace(">=3.8", version).replace("['']", "[]")
            (project.root / "pyproject.toml").write_text(text)
        log = ProblemLog()
        lint_python(project.write("pass", by), project.root, log)
        [problem] = log.warnings
        by = by or f"requires-python of {project.root / 'pyproject.toml'}"
        assert problem.message == (
            f"Python {version} is not installed here, and uv cannot bring it; change {by}"
        )

    def test_another_version_without_uv(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_uv(monkeypatch)
        log = ProblemLog()
        lint_python(project.write("pass", "image: python:3.10"), project.root, log)
        [problem] = log.warnings
        assert problem.message.startswith("Python 3.10 is asked for, and this one is 3.")

    def test_a_contract_that_is_not_kept(self, project: Project) -> None:
        log = ProblemLog()
        header = f"{TABLE}\nparameters: {{schema_contract: discard_row}}"
        lint_python(project.write("def materialize(): return []", header), project.root, log)
        [problem] = log.warnings
        assert problem.message.startswith("schema_contract 'discard_row' is not done here")

    @pytest.mark.parametrize(
        ("header", "code", "found"),
        [
            (TABLE, "def materialize(): return []", []),
            (TABLE, "from shop.lib import materialize", []),
            (TABLE, "if True:\n    def materialize(limit=5, *rest, **named): ...", []),
            ("owner: me", "print(1)", []),
            (TABLE, "def materialise(): return []",
             ["6: with `materialization: {type: table}` a Python asset needs `def materialize()`, "
              "which returns the rows"]),
            (TABLE, "def materialize(context): return []",
             ["6: materialize() is called without arguments; "
              "remove context, or give it a default"]),
            (TABLE, "async def materialize(): return []",
             ["6: materialize() is not awaited; remove `async`"]),
            (TABLE, "x = (\n", ["6: this is not valid Python: '(' was never closed"]),
            ("image: python:3.10", "x = (\n", []),
            ("image: ghcr.io/me/etl", "x = 1",
             ["3: the image 'ghcr.io/me/etl' names no version of Python: its file runs in this "
              "one; write it as in `image: python:3.12`"]),
            ("owner: me", "def materialize(c): ...\nif __name__ == '__main__': materialize(1)", []),
            ("owner: me", "import x\ndef materialize(c): ...\nx.job(materialize)", []),
            ("owner: me", "\n\ndef materialize(): return []",
             ["8: materialize() is never called: "
              "add `materialization: {type: table}` to the header"]),
            ("materialization: {type: view}", "def materialize(): ...",
             ["3: a Python asset makes a table, not a view; write `type: table`"]),
            ("materialization: {type: table, strategy: scd2_by_column}", "def materialize(): ...",
             ["3: a Python asset cannot use the strategy 'scd2_by_column'; known: append, "
              "create+replace, delete+insert, merge"]),
        ],
    )  # fmt: skip
    def test_names_what_is_wrong(
        self, project: Project, header: str, code: str, found: list[str]
    ) -> None:
        log = ProblemLog()
        lint_python(project.write(code, header), project.root, log)
        assert [re.sub("^made.py:", "", text) for text in problems(log)] == found

    @pytest.mark.parametrize(
        "line",
        ["from shop.assets.raw.made import materialize", "import made", "from . import (made)"],
    )
    def test_a_function_that_another_file_imports_is_called_there(
        self, project: Project, line: str
    ) -> None:
        asset, log = project.write("def materialize(x): ...", "owner: me"), ProblemLog()
        (project.root / "shop/other.py").write_text(f"if True:\n    {line}\n")
        lint_python(asset, project.root, log)
        assert problems(log) == []

    def test_other_files_that_cannot_be_read_do_no_harm(self, project: Project) -> None:
        asset, log = project.write("def materialize(): return []", "owner: me"), ProblemLog()
        os.mkfifo(project.root / "shop/pipe.py")
        (project.root / "shop/gone.py").symlink_to(project.root / "nowhere.py")
        lint_python(asset, project.root, log)
        assert [text.split(":")[2] for text in problems(log)] == [" materialize() is never called"]

    def test_of_a_yaml_asset_names_its_missing_code(self, project: Project) -> None:
        path = project.root / "shop/assets/raw/made.asset.yml"
        asset = asset_at(path, "name: raw.made\ntype: python\n")
        log = ProblemLog()
        lint_python(asset, project.root, log)
        assert problems(log) == [
            "made.asset.yml:1: a Python asset needs code: "
            "a .py file with a header, or `run: file.py`"
        ]

    def test_a_yaml_asset_runs_the_file_that_it_names(self, project: Project) -> None:
        path = project.root / "shop/assets/raw/made.asset.yml"
        (project.file.parent).mkdir(parents=True)
        (project.file.parent / "code.py").write_text("print('here')\n1 / 0\n")
        asset = asset_at(path, "name: raw.made\ntype: python\nrun: code.py\n")
        with pytest.raises(AssetError, match=r"raw/code\.py:2: ZeroDivisionError"):
            project.run(asset)


def gone(pid: int, patience: float = 5.0) -> bool:
    """Whether the process ends within that time; one that nobody waited for has ended."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def wait_until(true: Callable[[], bool], patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def test_a_new_table_has_snake_case_names(project: Project) -> None:
    code = (
        'def materialize():\n    return [{"VendorID": 1, "Trip Distance": 2.5, "createdAt": "x"}]\n'
    )
    header = f"{TABLE}\ncolumns: [{{name: VendorID, type: bigint, checks: [{{name: positive}}]}}]"
    assert project.build(code, header).results[0].passed
    assert types(project.warehouse, "raw.made") == {
        "vendor_id": "BIGINT", "trip_distance": "DOUBLE", "created_at": "VARCHAR",
    }  # fmt: skip
    project.build(code, f"{TABLE}\nparameters: {{schema_naming: direct}}")
    assert list(types(project.warehouse, "raw.made")) == ["VendorID", "Trip Distance", "createdAt"]
    project.build(code)
    assert list(types(project.warehouse, "raw.made")) == ["VendorID", "Trip Distance", "createdAt"]
