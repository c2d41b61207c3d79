"""What an installation sets: one YAML file, ``garant.yaml`` in Garant's home folder.

Secrets are never in the file: a setting that ends in ``_env`` names the environment variable that holds one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

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
    """Where development works: the local tracker (in the database), or Jira (`garant tracker check`)."""

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
    #: Labels on every issue, beside our own.
    labels: list[str] = []
    #: Beginning of a defect's signature -> the project's component; ``*``: all others.
    components: dict[str, str] = {}
    #: Further fields of a new issue as Jira takes them: ``priority: {name: High}``.
    fields: dict[str, Any] = {}
    #: Address that shows a change, with {parent} and {commit}.
    diff_url: str | None = None
    #: Names of transitions (or of the states they lead to), the first that there is counts.
    reopen: list[str] = ["Reopen", "Reopen Issue", "To Do", "Open", "Backlog"]
    finish: list[str] = ["Close Issue", "Close", "Done", "Resolve Issue", "Resolve"]
    #: The link type between a double and its original.
    duplicate_link: str = "Duplicate"
    #: Who may ask for a run by a comment: account ids, logins or addresses; ``*``: everybody.
    commanders: list[str] = []
    #: The environment variable with the secret of Jira's webhook to /hooks/jira; None: none is taken.
    webhook_secret_env: str | None = None
    #: Seconds between two looks at what development changed, also where a webhook is set up; 0: never.
    poll_s: float = Field(300.0, ge=0)

    @field_validator("labels")
    @classmethod
    def _no_spaces(cls, labels: list[str]) -> list[str]:
        if any(not label or any(sign.isspace() for sign in label) for label in labels):
            raise ValueError("a label is one word, without spaces")
        return labels

    @field_validator("diff_url")
    @classmethod
    def _names_the_change(cls, url: str | None) -> str | None:
        if url is not None and not ("{commit}" in url and url.startswith(("https://", "http://"))):
            raise ValueError("an http(s) address with {commit}, and {parent} where it shows a comparison")
        return url


class ReleaseSettings(_Section):
    """Who may approve, and how many must (DESIGN section 3)."""

    approvals: int = Field(2, ge=1)
    #: OpenSSH allowed_signers file; the same file is on every store's hosts.
    allowed_signers: Path | None = None
    #: Bundles that the regression gate plays at once; each takes a core while it plays.
    benches: int = Field(2, ge=1, le=64)


class DiagnosisSettings(_Section):
    """How evidence is collected from stores, and how long it is kept."""

    #: Recipe file of what is collected; None: the one that comes with Garant (`garant diagnose --dry-run`).
    recipe: Path | None = None
    #: Hosts of a store that are asked at the same time.
    hosts_at_once: int = Field(10, ge=1, le=200)
    #: Bytes a second over a store's link, all its hosts together; None: as fast as it goes.
    bandwidth: int | None = Field(None, ge=1024)
    #: The largest share of one processor that collecting may take on a host.
    cpu_share: float = Field(0.25, gt=0, le=1)
    #: Days that evidence is kept after its collection and the closing of its case.
    retention_days: int = Field(180, ge=1)


class PromiseSettings(_Section):
    """Who is warned, beside the service manager, while a client waits for a date."""

    #: Development's owner of dates (an e-mail address); None: only the service manager is warned.
    owner_email: str | None = Field(None, pattern=r"^[^@\s]+@[^@\s]+$")


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
    promises: PromiseSettings = PromiseSettings()
    diagnosis: DiagnosisSettings = DiagnosisSettings()
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
