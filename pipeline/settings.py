"""What an installation sets: one YAML file, ``garant.yaml`` in Garant's home folder.

Secrets are never in the file: a setting that ends in ``_env`` names the environment variable that holds one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import GarantError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MailSettings(_Section):
    """How notices leave: an SMTP server, or a Maildir on this machine (the embedded default)."""

    kind: Literal["maildir", "smtp"] = "maildir"
    sender: str = "garant@support.invalid"
    #: Domain of Message-IDs and of the return addresses that bounces come back to.
    domain: str = "support.invalid"
    host: str = "127.0.0.1"
    port: int = 25
    tls: Literal["none", "starttls", "tls"] = "none"
    user: str | None = None
    password_env: str | None = None
    timeout_s: float = 30.0
    #: Told in every notice as the way to call us: a telephone number, a web address.
    support: str | None = None
    #: Internal warnings for which no address is known go here, in this language.
    duty: str = "duty@support.invalid"
    internal_language: Literal["ru", "en"] = "ru"
    internal_zone: str = "Europe/Moscow"


class TrackerSettings(_Section):
    """Where development works: the local tracker (in the database), or Jira."""

    kind: Literal["local", "jira"] = "local"
    url: str | None = None
    project: str = "SET"
    issue_type: str = "Bug"
    user: str | None = None
    token_env: str | None = None
    timeout_s: float = 30.0
    #: Jira Data Center takes a personal access token as bearer; Cloud takes user and token.
    auth: Literal["basic", "bearer"] = "basic"
    #: How long a new issue may be missing from Jira's search (seconds).
    index_lag_s: float = 300.0
    #: Address of our web, for the link from the issue back to the defect.
    link_base: str | None = None


class ReleaseSettings(_Section):
    """Who may approve, and how many must (DESIGN section 3)."""

    approvals: int = Field(2, ge=1)
    #: OpenSSH allowed_signers file; the same file is on every store's hosts.
    allowed_signers: Path | None = None
    #: Bundles that the regression gate plays at once; each takes a core while it plays.
    benches: int = Field(2, ge=1, le=64)


class WebSettings(_Section):
    """Who may see the pages."""

    #: The environment variable that holds the access token; None: ``web-token`` in the home folder.
    token_env: str | None = None


class Settings(_Section):
    """All settings; each has a default that works on one machine.

    Attributes:
        home: the folder of everything that Garant keeps beside the database.
        database_url: SQLAlchemy URL; by default SQLite in the home folder.
        product: the product.yaml of what the clients run.
    """

    home: Path
    database_url: str | None = None
    product: Path | None = None
    #: Seconds between two looks at the product's repository for new versions.
    product_poll_s: float = Field(300.0, ge=1)
    mail: MailSettings = MailSettings()
    tracker: TrackerSettings = TrackerSettings()
    releases: ReleaseSettings = ReleaseSettings()
    web: WebSettings = WebSettings()
    #: SSH identity and known_hosts with which stores are reached, when a host's row names none.
    ssh_identity: Path | None = None
    #: The interpreter on the stores' hosts; never discovered (DESIGN section 9).
    host_python: str = "/usr/bin/python3"

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'garant.db'}"

    def folder(self, name: str) -> Path:
        """A folder of the home, made when missing: evidence, bundles, releases, rollouts, mail, builds."""
        folder = self.home / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def default_home() -> Path:
    """``GARANT_HOME``, else ``garant`` in the user's state folder (XDG base directories)."""
    named = os.environ.get("GARANT_HOME")
    if named:
        return Path(named).absolute()
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "garant"


def load_settings(home: Path | None = None) -> Settings:
    """The settings of the home folder given; defaults where ``garant.yaml`` says nothing.

    Raises:
        GarantError: the file cannot be read or a setting is wrong; each wrong setting is named.
    """
    home = (home or default_home()).absolute()
    file = home / "garant.yaml"
    values: object = {}
    if file.exists():
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise GarantError(
                f"settings {file} cannot be read: {error}. Mend the file or remove it"
            ) from error
    if not isinstance(values, dict):
        raise GarantError(f"settings {file}: a mapping of names to values is expected")
    try:
        return Settings.model_validate({**values, "home": home})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise GarantError(f"settings {file}: {wrong}") from error
