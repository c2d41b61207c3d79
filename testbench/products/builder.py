"""Builds one version into one folder: sources, environment, build lines, smoke lines."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from testbench.products.description import Product
from testbench.products.errors import BuildFailedError, BuildInfraError, VersionError
from testbench.products.port import Resolved, VersionSource
from testbench.programs import Ended, run_program

#: What a line says when the machine, not the version, is the reason.
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|ENOSPC")
_NO_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|Network is unreachable"
    r"|NewConnectionError|Connection refused|Read timed out|Max retries exceeded|Could not resolve host"
    r"|ECONNREFUSED|ENOTFOUND|ETIMEDOUT"
)
_NO_SUCH_VERSION = re.compile(r"No matching distribution found for (\S+)|npm (?:ERR!|error) code ETARGET")
#: Exit codes of a line that somebody ended (INT, KILL, TERM; a shell reports them as 128 + n): nobody knows
#: what the version would have done.
_KILLED = {sign * (number + base) for number in (2, 9, 15) for sign, base in ((-1, 0), (1, 128))}
#: A line that installs Python packages.
_INSTALLS = re.compile(r"\{python\}.*\b(?:pip|ensurepip)\b")
#: Variables that would let this machine's Python or repository leak into a build.
_LEAKS = ("GIT_", "PYTHON", "VIRTUAL_ENV", "CONDA", "PYTEST")


def build(product: Product, source: VersionSource, resolved: Resolved, entry: Path, python: Path) -> Path:
    """Build into ``entry/tree``; gives the interpreter that goes with the build.

    Raises:
        BuildFailedError: a build or smoke line failed.
        BuildInfraError: the disk is full, the index does not answer, a line was killed.
        VersionError: the index has no such version.
        SourceError: the repository does not answer.
    """
    tree, log = entry / "tree", entry / "log.txt"
    tree.mkdir()
    source.fill(resolved, tree)
    lines = product.build or source.default_build()
    if source.needs_environment or any(_INSTALLS.search(line) for line in lines):
        # Its own environment: build lines may install into it without touching this machine's Python. Only
        # where one does: it costs 3 s and 15 MB a build.
        python = _environment(entry, python, log, product.build_timeout)
    words = {"python": str(python), "version": resolved.version or resolved.id, "build": str(tree)}
    for stage, stage_lines in (("build", lines), ("smoke", product.smoke)):
        for line in stage_lines:
            _line(stage, fill_words(line, words), tree, log, product.build_timeout, python)
    return python


def fill_words(line: str, words: dict[str, str]) -> str:
    """Put quoted values in for ``{python}`` and the like; every other brace belongs to the shell."""
    return re.sub(
        r"\{(\w+)\}", lambda found: shlex.quote(words[found[1]]) if found[1] in words else found[0], line
    )


def _environment(entry: Path, python: Path, log: Path, seconds: float) -> Path:
    made = entry / "venv"
    command = f"{shlex.quote(str(python))} -m venv {shlex.quote(str(made))}"
    _line("build", command, entry, log, seconds, python)
    return made / "bin" / "python"


def _line(stage: str, line: str, folder: Path, log: Path, seconds: float, python: Path) -> None:
    start = log.stat().st_size if log.exists() else 0
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {line}\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_LEAKS)}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    ended = run_program(
        ["/bin/sh", "-e", "-c", line], folder=folder, environment=environment, stdout=log, seconds=seconds
    )
    if ended.code:
        with log.open("rb") as raw:
            raw.seek(start)
            _explain(stage, line, ended, raw.read()[-4000:].decode("utf-8", "replace"), log)


def _explain(stage: str, line: str, ended: Ended, said: str, log: Path) -> None:
    folder = log.parent
    if ended.timed_out:
        raise BuildInfraError(
            f"{stage} line took more than {ended.seconds:.0f} s and was stopped: {line}; "
            "raise build_timeout in product.yaml if it needs more"
        )
    if _DISK_FULL.search(said):
        raise BuildInfraError(
            f"the disk is full while building in {folder}; free some space there "
            "(or set TESTBENCH_HOME to another disk) and start again"
        )
    if _NO_NETWORK.search(said):
        raise BuildInfraError(f"a server did not answer while building ({line}); see {log} and start again")
    missing = _NO_SUCH_VERSION.search(said)
    if missing:
        raise VersionError(f"the package index has no {missing[1] or 'such version'} for this interpreter")
    if ended.code in _KILLED:
        raise BuildInfraError(f"{stage} line was killed from outside: {line}; see {log} and start again")
    last = next((text for text in reversed(said.splitlines()) if text.strip()), "")
    raise BuildFailedError(f"`{line}` ended with exit code {ended.code}: {last.strip()[:300]}", stage=stage)
