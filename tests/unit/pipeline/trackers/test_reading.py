"""The local tracker's issues as the pages read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.application import Garant
from pipeline.errors import NotFoundError
from pipeline.trackers import reading
from pipeline.trackers.local import LocalTracker
from pipeline.trackers.markup import Paragraph
from pipeline.trackers.port import Draft


@pytest.fixture
def tracker(app: Garant, tmp_path: Path) -> LocalTracker:
    """Two issues; the first with a file, a comment and a link."""
    made = LocalTracker(app.database, app.settings.home / "tracker", project="SET", clock=app.clock)
    file = tmp_path / "D-000001.tar.gz"
    file.write_bytes(b"bundle")
    for number in (1, 2):
        made.create(
            Draft(label=f"garant-d-{number}", title=f"Defect {number}", body=[Paragraph(("What happens",))])
        )
    made.attach("SET-1", file.name, file)
    made.comment("SET-1", "Fixed in 10.4.3", "fixed")
    made.link("SET-1", "garant", "/defects/D-000001", "D-000001")
    return made


def test_issues_are_listed_with_what_is_at_them(app: Garant, tracker: LocalTracker) -> None:
    """The newest first, with the numbers of their comments and files."""
    with app.database.reading() as session:
        listed = [(one.issue.key, one.comments, one.attachments) for one in reading.issues(session)]

    assert listed == [("SET-2", 0, 0), ("SET-1", 1, 1)]


def test_an_attachment_is_found_by_its_digest_at_its_own_issue_only(
    app: Garant, tracker: LocalTracker
) -> None:
    """A digest of another issue, a path, or a file that is gone: not found."""
    home = app.settings.home
    with app.database.reading() as session:
        digest = reading.attachments(session, "SET-1")[0].digest
        row, file = reading.attachment(session, home, "SET-1", digest)
        assert (row.name, file.read_bytes()) == ("D-000001.tar.gz", b"bundle")
        for key, wanted in (("SET-2", digest), ("SET-1", "../garant.db"), ("SET-9", digest)):
            with pytest.raises(NotFoundError):
                reading.attachment(session, home, key, wanted)
        file.unlink()
        with pytest.raises(NotFoundError, match="gone"):
            reading.attachment(session, home, "SET-1", digest)


def test_comments_and_links(app: Garant, tracker: LocalTracker) -> None:
    """As they were put there; an unknown issue is named."""
    with app.database.reading() as session:
        assert [one.text for one in reading.comments(session, "SET-1")] == ["Fixed in 10.4.3"]
        assert [one.url for one in reading.links(session, "SET-1")] == ["/defects/D-000001"]
        with pytest.raises(NotFoundError, match="SET-9"):
            reading.issue(session, "SET-9")
