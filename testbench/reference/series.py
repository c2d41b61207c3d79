"""The series of patches that the reference SET's history is made from (history/series.yaml)."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from testbench.errors import UsageError
from testbench.reference.errors import SeriesError

SERIES_FILE = "series.yaml"


class Identity(BaseModel):
    """A name and a mail address, as git wants them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    email: str


class Release(BaseModel):
    """One tag: the patches since the tag before it, the date of the tag, the commit id that must come out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: str
    date: datetime
    commit: str
    patches: tuple[str, ...]


class Series(BaseModel):
    """The whole history: releases in their order, and the one committer of all commits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str
    committer: Identity
    releases: tuple[Release, ...]

    def upto(self, tag: str | None) -> Series:
        """The series as it was when `tag` was the newest release; the whole series for None.

        Raises UsageError for a tag that the series does not have.
        """
        if tag is None:
            return self
        tags = [release.tag for release in self.releases]
        if tag not in tags:
            raise UsageError(f"the reference SET has no release {tag}; it has {', '.join(tags)}")
        return self.model_copy(update={"releases": self.releases[: tags.index(tag) + 1]})

    @property
    def patches(self) -> list[str]:
        """All patch names, oldest first."""
        return [patch for release in self.releases for patch in release.patches]


def history_folder() -> Path:
    """Where the patches of this package lie."""
    return Path(str(files("testbench.reference"))) / "history"


def load_series(folder: Path | None = None) -> Series:
    """Reads series.yaml; raises SeriesError when it or a patch that it names is missing or damaged."""
    folder = folder or history_folder()
    path = folder / SERIES_FILE
    try:
        series = Series.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise SeriesError(
            f"{path} can't be read: {error}; restore it from the project's repository"
        ) from error
    missing = [patch for patch in series.patches if not (folder / patch).is_file()]
    if missing:
        raise SeriesError(
            f"{folder}: {len(missing)} patches are missing, the first is {missing[0]}; restore them"
        )
    return series
