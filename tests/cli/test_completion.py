"""Tab in a real shell: commands, assets, tags, connections and files."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from orchestration.helpers import Tiny, clean_environment

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(ecommerce completion bash)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -Uz compinit && compinit -u -D; eval "$(ecommerce completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "ecommerce completion fish | source"),
}
# What is typed before Tab, and what then stands there.
COMPLETED = {
    "ecommerce valid": "ecommerce validate",
    "ecommerce run main.peo": "ecommerce run main.people",
    "ecommerce run --tag night": "ecommerce run --tag nightly",
    "ecommerce query -c duckdb-d": "ecommerce query -c duckdb-default",
    "ecommerce validate pipeline/pipel": "ecommerce validate pipeline/pipeline.yml",
    "ecommerce run pipeline/assets/main.peo": "ecommerce run pipeline/assets/main.people.sql",
}
PATIENCE = 60


@pytest.fixture
def tiny(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.chdir(tiny.folder)
    tiny.sql("main.people", "SELECT 1 AS n", "tags: [nightly]")
    tiny.write("pipeline/assets/broken.sql", "/* @bruin\nname: [\n@bruin */\nSELECT 1\n")
    return tiny


class Terminal:
    """A shell in a terminal, and what it has written."""

    def __init__(self, end: int) -> None:
        self._end, self._text = end, b""

    def type(self, text: str) -> None:
        self._text = b""
        os.write(self._end, text.encode())

    def shows(self, text: str) -> bool:
        """Wait until the shell has written a text since something was typed."""
        until = time.monotonic() + PATIENCE
        while text not in self.text and time.monotonic() < until:
            if select.select([self._end], [], [], 1)[0]:
                self._text += os.read(self._end, 10_000)
        return text in self.text

    @property
    def text(self) -> str:
        return self._text.decode(errors="replace")


@contextmanager
def terminal(command: list[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """A command in a terminal that it controls, as shells want it."""
    child, end = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, environment)
    try:
        yield Terminal(end)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(end)


@pytest.mark.slow
@pytest.mark.parametrize("shell", [name for name in SHELLS if shutil.which(name)])
def test_tab_completes_what_was_begun(tiny: Tiny, shell: str) -> None:
    command, script = SHELLS[shell]
    environment = clean_environment(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        HOME=str(tiny.folder),
        TERM="dumb" if shell == "bash" else "xterm",
        PS1="$ ",
        EDITOR="",  # zsh takes its keys from it
        VISUAL="",
    )
    with terminal(command, environment) as shown:
        shown.type(f"{script}; echo rea''dy\n")
        assert shown.shows("ready"), shown.text
        for typed, completed in COMPLETED.items():
            # Ctrl-A goes to the beginning of the line; the command itself is not run.
            shown.type(f"{typed}\t'|' > /dev/null; echo do''ne\x01true \n")
            assert shown.shows("done"), shown.text
            assert completed in shown.text


def test_what_cannot_be_read_completes_nothing_and_says_nothing(tiny: Tiny) -> None:
    (tiny.directory / "pipeline.yml").unlink()
    found = subprocess.run(
        ["ecommerce"],
        executable=str(Path(sys.executable).with_name("ecommerce")),
        env=clean_environment(
            COMP_WORDS="ecommerce run --tag n", COMP_CWORD="3", _ECOMMERCE_COMPLETE="bash_complete"
        ),
        text=True,
        capture_output=True,
        check=True,
    )
    assert (found.stdout.strip(), found.stderr) == ("", "")


def test_it_imports_neither_dagster_nor_duckdb(tiny: Tiny) -> None:
    code = (
        "import sys\n"
        "from ecommerce_dagster.shop.commands import main\n"
        "try:\n    main(prog_name='ecommerce')\nexcept SystemExit:\n    pass\n"
        "print(*{name.split('.')[0] for name in sys.modules} & {'dagster', 'duckdb', 'psycopg'})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(
            COMP_WORDS="ecommerce run ma", COMP_CWORD="2", _ECOMMERCE_COMPLETE="bash_complete"
        ),
        text=True,
        capture_output=True,
        check=True,
    )
    assert found.stdout == "plain,main.people\n\n"
