"""The watch over a real repository: polled, checks begun once, moved tags, a repository that is away."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.application import Garant
from pipeline.database import Database
from pipeline.defects import service as defects
from pipeline.defects.tables import DefectRow
from pipeline.engine.dispatch import Dispatcher
from pipeline.engine.memory import MemoryEngine
from pipeline.engine.tables import JobRow
from pipeline.errors import RefusedError, UnavailableError
from pipeline.notices import service as notices
from pipeline.products import jobs, service, ticks
from pipeline.products.repository import GitTags
from pipeline.products.tables import ProductWatchRow
from pipeline.reproduction import service as reproduction
from pipeline.reproduction.tables import FixCheckRow
from pipeline.settings import Settings


class Upstream:
    """Development's bare repository, and a checkout that pushes to it."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.work = folder / "product.git", folder / "work"
        self.git("init", "-q", "--bare", str(self.bare), at=folder)
        self.git("clone", "-q", str(self.bare), str(self.work), at=folder)

    def git(self, *words: str, at: Path | None = None) -> str:
        who = {
            f"GIT_{w}_{p}": "dev@vendor.example" for w in ("AUTHOR", "COMMITTER") for p in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *words],
            cwd=at or self.work,
            env={**os.environ, **who},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def publish(self, tag: str, *, force: bool = False) -> str:
        (self.work / "VERSION").write_text(f"{tag} {force}\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", tag)
        # Annotated: what counts is the commit behind the tag, not the tag's own object.
        self.git("tag", "-a", "-m", tag, *(["-f"] if force else []), tag)
        self.git("push", "-q", *(["-f"] if force else []), "origin", "HEAD", tag)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path)


@pytest.fixture
def garant(database: Database, tmp_path: Path, clock: Any, upstream: Upstream) -> Iterator[Garant]:
    """The product toy, with v1.0 published and a defect that was reproduced on it."""
    upstream.publish("v1.0")
    product = tmp_path / "product.yaml"
    product.write_text(f'name: toy\nsource: {{git: "{upstream.bare}"}}\ndriver: command\n')
    numbers = itertools.count(1)
    app = Garant(
        Settings(home=tmp_path / "home", product=product),
        database=database,
        engine=MemoryEngine(clock),
        clock=clock,
        new_id=lambda: f"id{next(numbers):04}",
    )
    with app.unit("person:test") as unit:
        defects.record(
            unit, product="toy", signature="s", title="t", verdict="reproduced", version="v1.0", bundle="/b/1"
        )
        service.watch(unit, "toy")
    yield app
    app.close()


def work(app: Garant, clock: Any, by: timedelta = timedelta(0)) -> None:
    """Do the watch's ticks and looks; the bench's checks stay queued."""
    clock.now += by
    assert isinstance(app.engine, MemoryEngine)
    handler = Dispatcher(
        app.unit,
        app.clock,
        worker="test",
        ticks=ticks.ticks(app),
        jobs={"product.look": jobs.jobs(app)["product.look"]},
    )
    app.engine.run_due(handler)


POLL = timedelta(seconds=301)


def checks(app: Garant) -> dict[str, str]:
    with app.database.reading() as session:
        return {row.version: row.state for row in session.query(FixCheckRow)}


def alerts(app: Garant) -> list[str]:
    with app.database.reading() as session:
        return [row.params["trouble"] for row in notices.notices(session, kind="product_trouble")]


def test_a_new_tag_has_every_open_defect_played_once(garant: Garant, upstream: Upstream, clock: Any) -> None:
    """Seen at the next poll, played as the commit that the tag named, never begun twice."""
    work(garant, clock)
    assert checks(garant) == {}
    commit = upstream.publish("v1.1")
    work(garant, clock, POLL)
    work(garant, clock, POLL)

    assert checks(garant) == {"v1.1": "running"}
    with garant.database.reading() as session:
        job = session.get_one(JobRow, "fix-check:D-000001@v1.1:1")
    assert job.args == {"defect": "D-000001", "version": "v1.1", "commit": commit}


def test_a_hook_is_heard_between_polls_and_during_a_look(
    garant: Garant, upstream: Upstream, clock: Any
) -> None:
    """Asked for while a look is under way, another look follows it: the first may have asked too early."""
    work(garant, clock)
    upstream.publish("v1.1")
    assert garant.settings.product is not None
    for _ in range(2):
        with garant.unit("person:hook") as unit:
            looks = service.refresh(unit, "toy", garant.settings.product).looks
    work(garant, clock)

    assert checks(garant) == {"v1.1": "running"}
    with garant.database.reading() as session:
        assert session.get_one(ProductWatchRow, "toy").looks == looks + 1


def test_a_moved_tag_is_refused_until_a_person_accepts_it(
    garant: Garant, upstream: Upstream, clock: Any
) -> None:
    """Reported once, not played; accepted with a reason it is played as the new commit."""
    work(garant, clock)
    upstream.publish("v1.1")
    work(garant, clock, POLL)
    with garant.unit("worker:bench") as unit:
        row = unit.get(FixCheckRow, ("D-000001", "v1.1"))
        reproduction.settle_fix_check(unit, row, {"verdict": "not-fixed", "reason": "fails"}, None)
    moved = upstream.publish("v1.1", force=True)
    for _ in range(2):
        work(garant, clock, POLL)
    assert alerts(garant) == ["moved"]
    assert checks(garant) == {"v1.1": "not-fixed"}

    with garant.unit("person:anna") as unit:
        service.accept_moved(unit, "toy", "v1.1", "tagged too early")
    with garant.database.reading() as session:
        assert session.get_one(JobRow, "fix-check:D-000001@v1.1:2").args["commit"] == moved
    with pytest.raises(RefusedError, match="nothing to accept"), garant.unit("person:anna") as unit:
        service.accept_moved(unit, "toy", "v1.1", "again")


def test_a_repository_that_is_gone_is_told_once_and_asked_again(
    garant: Garant, upstream: Upstream, clock: Any, tmp_path: Path
) -> None:
    """Nothing is lost: when it is back, what was published meanwhile is played."""
    work(garant, clock)
    shutil.move(upstream.bare, tmp_path / "away.git")
    for _ in range(5):
        work(garant, clock, timedelta(hours=1, seconds=1))
    with garant.database.reading() as session:
        answer = service.document(session, "toy")
    assert (answer["state"], alerts(garant)) == ("failing", ["unreachable"])
    assert "does not exist" in answer["error"]

    shutil.move(tmp_path / "away.git", upstream.bare)
    upstream.publish("v1.1")
    work(garant, clock, timedelta(hours=1, seconds=1))
    assert checks(garant) == {"v1.1": "running"}


def test_a_fix_that_does_not_hold_reopens_the_defect(garant: Garant, upstream: Upstream, clock: Any) -> None:
    """Fixed in v1.1, bad again in v1.2: open again, and the next version is played."""
    work(garant, clock)
    for tag, said in (("v1.1", "fixed"), ("v1.2", "not-fixed")):
        upstream.publish(tag)
        work(garant, clock, POLL)
        with garant.unit("worker:bench") as unit:
            row = unit.get(FixCheckRow, ("D-000001", tag))
            reproduction.settle_fix_check(unit, row, {"verdict": said, "reason": "as played"}, None)
    with garant.database.reading() as session:
        defect = session.get_one(DefectRow, "D-000001")
        assert (defect.state, defect.fixed_in, defect.version) == ("reopened", None, "1.2")
    upstream.publish("v1.3")
    work(garant, clock, POLL)

    assert checks(garant) == {"v1.1": "fixed", "v1.2": "not-fixed", "v1.3": "running"}


def test_a_server_that_hangs_is_given_up() -> None:
    """A server that takes the connection and says nothing ends as "does not answer", not as a hang."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []
        threading.Thread(target=lambda: held.append(server.accept()[0]), daemon=True).start()
        tags = GitTags(f"git://127.0.0.1:{server.getsockname()[1]}/x.git", "v*", time_limit_s=1.0)
        with pytest.raises(UnavailableError, match="does not answer"):
            tags.versions()

    for connection in held:
        connection.close()


@pytest.mark.parametrize("url", ["ext::sh -c true", "--upload-pack=true"])
def test_a_url_is_never_a_program(url: str) -> None:
    """Transports that run what the URL says are refused, and no URL is read as an option."""
    with pytest.raises(UnavailableError):
        GitTags(url, "v*").versions()
