"""Every page over HTTP, filled with rows that the services made."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import httpx
import pytest

PAGES = {
    "/": ["G-000001", "R-000001", "D-000001", "10.4.3"],
    "/cases": ["G-000001", "G-000002", "restoration", "Main Street"],
    "/cases/G-000001": [
        "Не сходятся чеки",
        "E-000001",
        "REP-000001",
        "set.log",
        "D-000001",
        "usual register",
    ],
    "/cases?state=closed": ["There are no such cases."],
    "/defects": ["D-000001", "SET-1"],
    "/defects/D-000001": ["20 runs", "456 → 16", "e399ab669889", "Register 1: open the shift", "20 Mar 2026"],
    "/tracker": ["SET-1"],
    "/tracker/SET-1": ["D-000001.tar.gz", "receipt-arithmetic/lines-sum"],
    "/notices": ["request registered", "it@norden.invalid", "accepted"],
    "/mail": ["it@norden.invalid", "G-000001: обращение зарегистрировано"],
    "/releases": ["10.4.3", "2 of 2", "passed"],
    "/releases/10.4.3": [
        "boris",
        "clara",
        "good",
        "not reproduced",
        "A discount is spread exactly.",
        "VERSION",
    ],
    "/rollouts": ["R-000001", "paused", "4 of 15"],
    "/rollouts/R-000001": ["k-tverskaya-r4", "rolled back", "out of service, budget 1", "waits for its wave"],
    "/rollouts/R-000001/stores/k-tverskaya": ["k-tverskaya-r4", "rolled back", "3 s"],
    "/fleet": ["Norden", "under the tariff", "Main Street", "daily around the clock"],
    "/fleet/n-main": ["n-main-server", "register 4", "10.4.2", "G-000002"],
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_what_there_is(filled: Any, visitor: httpx.Client, path: str) -> None:
    """In English and in Russian, and says so in its language attribute."""
    english = visitor.get(path)
    assert english.status_code == 200
    for text in PAGES[path]:
        assert text in english.text
    assert '<html lang="en">' in english.text

    russian = visitor.get(path, headers={"Accept-Language": "ru"})
    assert russian.status_code == 200
    assert '<html lang="ru">' in russian.text
    assert "Обращения" in russian.text


def test_an_empty_home_has_pages_too(empty: httpx.Client) -> None:
    """Before anything was imported, each list says that it is empty and what to do."""
    for path in (
        "/",
        "/cases",
        "/defects",
        "/tracker",
        "/notices",
        "/mail",
        "/releases",
        "/rollouts",
        "/fleet",
    ):
        assert empty.get(path).status_code == 200
    assert "garant fleet import" in empty.get("/fleet").text


@pytest.mark.parametrize("path", ["/", "/cases", "/cases/G-000002", "/fleet/n-main", "/notices", "/mail"])
def test_what_a_stranger_wrote_is_text(filled: Any, visitor: httpx.Client, path: str) -> None:
    """A subject that is markup is shown with its brackets, nowhere taken as markup."""
    shown = visitor.get(path).text

    assert "<script>document" not in shown
    assert "<img" not in shown


@pytest.mark.parametrize(
    "path",
    [
        "/nope", "/cases/G-9", "/defects/D-9", "/defects/D-9/bundle.tar.gz", "/tracker/SET-9", "/notices/x",
        "/mail/x", "/releases/9", "/rollouts/R-9", "/rollouts/R-9/live",
        "/rollouts/R-000001/stores/x", "/fleet/x", "/cases/G-9/live", "/tracker/SET-1/attachments/x",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(filled: Any, visitor: httpx.Client, path: str) -> None:
    """Not found, in words, in the house's look."""
    answer = visitor.get(path)

    assert answer.status_code == 404
    assert "Nothing here" in answer.text


def test_a_wrong_choice_is_refused_with_what_is_wrong(visitor: httpx.Client) -> None:
    """A filter that does not exist is named."""
    answer = visitor.get("/cases", params={"state": "asleep"})

    assert answer.status_code == 422
    assert "state" in answer.text


def test_the_bundle_comes_as_an_archive(filled: Any, visitor: httpx.Client) -> None:
    """All of it, under the defect's name; the same bytes twice."""
    answer = visitor.get("/defects/D-000001/bundle.tar.gz")

    assert 'filename="D-000001.tar.gz"' in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert archive.getnames() == ["D-000001/case.json", "D-000001/test_case.py"]
    assert visitor.get("/defects/D-000001/bundle.tar.gz").content == answer.content


def test_an_attachment_is_a_download_and_never_a_page(filled: Any, visitor: httpx.Client) -> None:
    """Whatever was attached: octets under its name, not sniffed."""
    page = visitor.get("/tracker/SET-1").text
    link = page.partition('href="/tracker/SET-1/attachments/')[2].partition('"')[0]

    answer = visitor.get(f"/tracker/SET-1/attachments/{link}")

    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content[:2] == b"\x1f\x8b"


def test_a_notice_is_shown_as_sent(filled: Any, visitor: httpx.Client) -> None:
    """Subject, text, evidence; its HTML in a frame that may do nothing."""
    notice = visitor.get("/notices").text.partition('href="/notices/')[2].partition('"')[0]
    page = visitor.get(f"/notices/{notice}").text
    assert '<iframe sandbox="" src="/notices/' in page
    assert "in the Maildir as" in page

    framed = visitor.get(f"/notices/{notice}/html")
    policy = framed.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert framed.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_letter_of_the_maildir_is_shown(filled: Any, visitor: httpx.Client) -> None:
    """With headers, text, and its HTML in the same kind of frame."""
    key = visitor.get("/mail").text.partition('href="/mail/')[2].partition('"')[0]

    assert "Message-ID" in visitor.get(f"/mail/{key}").text
    assert "sandbox" in visitor.get(f"/mail/{key}/html").headers["content-security-policy"]


def test_the_language_is_kept_and_leads_back(filled: Any, visitor: httpx.Client) -> None:
    """A choice outweighs the browser's wish; nobody is led away from us."""
    answer = visitor.get("/language/ru", params={"then": "/cases?state=all"})
    assert answer.headers["location"] == "/cases?state=all"
    assert '<html lang="ru">' in visitor.get("/cases").text
    assert visitor.get("/language/ru", params={"then": "//evil.example"}).headers["location"] == "/"
    assert visitor.get("/language/xx").status_code == 404


def test_times_are_the_stores_with_utc_beside(filled: Any, visitor: httpx.Client) -> None:
    """One instant, three stores, three local times."""
    shown = visitor.get("/rollouts/R-000001/stores/k-tverskaya").text
    assert 'title="2026-03-12 06:00:00 UTC">12 Mar 2026, 09:00:00 <span class="zone">Moscow</span>' in shown
    assert 'UTC">12 Mar 2026, 07:00 <span class="zone">Berlin</span>' in visitor.get("/cases/G-000002").text
