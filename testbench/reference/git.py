"""git through its command line, cut off from the machine's and the user's configuration.

Commit ids depend on contents, identities and dates only, so nothing else may reach git: no configuration, no
hooks, no templates, no signing, no zone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbench.reference.errors import HistoryError
from testbench.reference.series import Identity

_OPTIONS = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "gc.auto=0",
    "-c",
    "core.autocrlf=false",
)


def isolated_environment(committer: Identity | None = None) -> dict[str, str]:
    """The environment for git: nothing of ours but PATH and the temporary folder."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    if "TMPDIR" in os.environ:
        environment["TMPDIR"] = os.environ["TMPDIR"]
    if committer is not None:
        environment["GIT_COMMITTER_NAME"] = committer.name
        environment["GIT_COMMITTER_EMAIL"] = committer.email
    return environment


def git(
    arguments: Sequence[str],
    folder: Path,
    committer: Identity | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Runs git in a folder and returns its standard output.

    Raises HistoryError with git's own words when it fails, or when there is no git.
    """
    environment = {**isolated_environment(committer), **(extra or {})}
    try:
        done = subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise HistoryError("git is not installed; install it (Debian: apt-get install git)") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise HistoryError(f"git {arguments[0]} failed in {folder} with {done.returncode}: {said}")
    return done.stdout
