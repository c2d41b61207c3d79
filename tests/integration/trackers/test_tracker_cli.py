"""``garant tracker check`` and ``status`` as people call them, on both flavours of Jira."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from pipeline.errors import NotFoundError, RefusedError
from pipeline.trackers.cli import tracker
from pipeline.trackers.jira_server import Flavour, JiraServer


def call(home: Path, *arguments: str, **settings: Any) -> Result:
    home.mkdir(exist_ok=True)
    (home / "garant.yaml").write_text(yaml.safe_dump({"tracker": settings}))
    return CliRunner().invoke(tracker, [*arguments], obj=home)


@pytest.mark.parametrize("flavour", ["Cloud", "Server"])
def test_check_names_everything_that_does_not_fit(tmp_path: Path, flavour: Flavour) -> None:
    """All at once, each with what to do; settings that fit are said to, and nothing is changed there."""
    with JiraServer(flavour=flavour) as server:
        right = {"kind": "jira", "url": server.url, "components": {"*": "POS"}}
        fine = call(tmp_path / "home", "check", "--json", **right)
        server.permissions.discard("CREATE_ATTACHMENTS")
        fields = {"customfield_1": "x"}
        more = {"components": {"*": "Nope"}, "fields": fields, "duplicate_link": "Cloners"}
        wrong = call(tmp_path / "home", "check", "--json", **{**right, **more})
        server.permissions.add("CREATE_ATTACHMENTS")
        type_ = call(tmp_path / "home", "check", "--json", **right, issue_type="Epic")
        project = call(tmp_path / "home", "check", "--json", **right, project="NO")
        written = [request for request in server.requests if request.method != "GET"]

    def bad(result: Result) -> set[str]:
        return {found["what"] for found in json.loads(result.stdout) if not found["ok"]}

    assert (fine.exit_code, bad(fine)) == (0, set())
    assert wrong.exit_code == 1
    assert bad(wrong) == {
        "right CREATE_ATTACHMENTS",
        "component Nope",
        "field customfield_1",
        "link type Cloners",
    }
    assert "CREATE_ATTACHMENTS" in wrong.stderr
    assert bad(type_) == {"issue type Epic"}
    assert {"project", "create screen"} <= bad(project)
    assert written == []


def test_edit_is_for_the_local_tracker(tmp_path: Path) -> None:
    """An issue that is not there is named; one of Jira's is changed in Jira."""
    from pipeline.database import Base, Database
    from pipeline.database.schema import import_tables

    home = tmp_path / "home"
    home.mkdir()
    import_tables()
    database = Database(f"sqlite:///{home / 'garant.db'}")
    Base.metadata.create_all(database.engine)
    database.close()
    with JiraServer() as server:
        there = call(home, "edit", "SET-1", "--status", "done", kind="jira", url=server.url)
    gone = call(home, "edit", "SET-1", "--status", "done", kind="local")
    nothing = call(home, "edit", "SET-1", kind="local")

    assert isinstance(there.exception, RefusedError)
    assert isinstance(gone.exception, NotFoundError)
    assert nothing.exit_code == 2
