"""Commands as forks of one process, which has imported what all of them need: to import Dagster
takes two seconds of a processor, to fork a hundredth of one.

Each command is a process of its own in all else: its folder, its environment, its signals, what it
prints and its exit. What an import prints is not seen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

# It reads a command a line, and writes the process's id and then its exit code. The fork leaves the
# loop and ends as any script does.
_SERVER = """
import os, sys, time
from importlib import import_module, metadata
from json import loads
for module in sys.argv[1:]:
    import_module(module)
while line := sys.stdin.buffer.readline():
    pid = os.fork()
    if not pid:
        break
    os.write(1, b"%d\\n" % pid)
    os.write(1, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    sys.exit()
os.setsid()
order = loads(line)
for number, path in enumerate((os.devnull, *order["files"])):
    opened = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
    os.dup2(opened, number)
    os.close(opened)
os.environ.clear()
os.environ.update(order["environment"])
time.tzset()
os.chdir(order["folder"])
sys.argv = order["command"]
folder, name = os.path.split(sys.argv[0])
sys.path.insert(0, folder)
(entry,) = metadata.entry_points(group="console_scripts", name=name)
sys.exit(entry.load()())
"""
# Not DuckDB: its import starts a thread, which a fork does not have.
_IMPORTED = (
    *("dagster", "dagster._core.storage.sql", "dagster._cli.workspace", "dagster._grpc.server"),
    *("ecommerce_dagster.shop.commands", "ecommerce_dagster.bruin.project"),
)
_PATIENCE = 200


class Forks:
    """The commands of one Python."""

    def __init__(self, python: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [python, "-P", "-c", _SERVER, *_IMPORTED],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def run(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> tuple[int, str, str]:
        """Run a script of this Python's folder to its end.

        Returns:
            Its exit code, what it wrote to stdout, and to stderr.
        """
        with tempfile.TemporaryDirectory() as place:
            files = [Path(place, "stdout"), Path(place, "stderr")]
            for file in files:
                file.touch()
            order = {
                "command": command,
                "files": [str(file) for file in files],
                "environment": dict(environment),
                "folder": str(folder),
            }
            code = self._code(json.dumps(order).encode())
            stdout, stderr = (file.read_text() for file in files)
        return code, stdout, stderr

    def _code(self, order: bytes) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(order + b"\n")
        stdin.flush()
        pid = int(stdout.readline())
        late = threading.Timer(_PATIENCE, os.killpg, (pid, signal.SIGKILL))
        late.start()
        try:
            return int(stdout.readline())
        finally:
            late.cancel()

    def close(self) -> None:
        """End the process that is forked."""
        self._process.communicate(timeout=60)
