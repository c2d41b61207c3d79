"""What is asked for, what is taken of the answer, and in which order it is masked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.diagnosis import rules
from pipeline.diagnosis.recipe import masking_order, plain_text, refusal, version_in
from pipeline.diagnosis.recipe_file import default_recipe

SERVER, REGISTER = default_recipe().server, default_recipe().register


@pytest.mark.parametrize(
    "name",
    [
        "VERSION",
        "etc/set/set.json",
        "journal.jsonl",
        "exchange/products/success/products-77-1.xml",
        "exchange/reports/Отчёт 1.xml",
    ],
)
def test_what_was_asked_for_is_taken(name: str) -> None:
    """Files of the recipe pass, those of a folder by the pattern of their names."""
    assert refusal(name, 100, SERVER) is None


@pytest.mark.parametrize(
    "name",
    [
        "/etc/set/set.json",
        "../journal.jsonl",
        "exchange/products/success/../../../x.xml",
        "exchange/products/success/./a.xml",
        "exchange//reports/a.xml",
        "exchange/reports/",
        "exchange/reports/a\x1b[2J.xml",
        "exchange/reports/a\n.xml",
        "exchange/reports/" + "a" * 300 + ".xml",
        "exchange/reports/\udcff.xml",
        "",
    ],
)
def test_names_that_are_not_plain_are_refused(name: str) -> None:
    """Nothing gets out of its folder, hides in a terminal, or names one file in two ways."""
    assert refusal(name, 100, SERVER) is not None


@pytest.mark.parametrize(
    "name",
    [
        "etc/shadow",
        "exchange/reports/deeper/a.xml",
        "exchange/reports/run.sh",
        "exchange/others/a.xml",
        "exchange/reportsx/a.xml",
        "journal.jsonl/x",
        "evidence.json",
    ],
)
def test_what_was_not_asked_for_is_refused(name: str) -> None:
    """A host cannot put files of its choice into the evidence."""
    assert refusal(name, 100, SERVER) == "it was not asked for"


def test_a_register_has_no_exchange() -> None:
    """Each role is asked for its own."""
    assert refusal("exchange/reports/a.xml", 1, REGISTER) == "it was not asked for"


def test_size_is_limited_by_the_item() -> None:
    """VERSION may have 1024 bytes, not one more."""
    assert refusal("VERSION", 1024, SERVER) is None
    assert refusal("VERSION", 1025, SERVER) == "1025 bytes exceed the 1024 that it may have"


def test_documents_are_masked_before_journals_and_those_before_logs() -> None:
    """A name in a log is known only because a document named it before."""
    names = ["set.log", "VERSION", "journal.jsonl", "status.json", "exchange/reports/a.xml"]

    assert sorted(names, key=masking_order) == [
        "exchange/reports/a.xml",
        "status.json",
        "journal.jsonl",
        "VERSION",
        "set.log",
    ]


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (b"10.4.7.0\n", "10.4.7.0"),
        (b"10.4-rc1+7", "10.4-rc1+7"),
        (b"", None),
        (b"--upload-pack=x", None),
        (b"a" * 65, None),
        (b"Ivanova Olga", None),
        (b"\xff\xfe", None),
    ],
)
def test_version_is_taken_only_when_it_can_be_one(content: bytes, version: str | None) -> None:
    """What is no version never reaches git, the database, or a page."""
    assert version_in(content) == version


def test_a_hosts_words_become_one_plain_line() -> None:
    """Control characters, line ends and lone surrogates are gone; the length is limited."""
    assert plain_text("a\x1b[2J\nb\x00c\udcff", 100) == "a [2J b c"
    assert len(plain_text("я" * 5000, 500)) == 500


def test_window_reaches_from_before_the_request_until_now() -> None:
    """24 hours before the request unless said otherwise, until now."""
    received, now = datetime(2026, 3, 12, 6, tzinfo=UTC), datetime(2026, 3, 12, 9, tzinfo=UTC)

    assert rules.window(received, now) == (received - timedelta(hours=24), now)
    assert rules.window(received, now, timedelta(hours=1)) == (received - timedelta(hours=1), now)
    assert rules.window(now, received)[1] == now


@pytest.mark.parametrize(
    ("files", "missing", "state"),
    [(0, [{}], "failed"), (0, [], "failed"), (1, [{}], "partial"), (1, [], "collected")],
)
def test_partial_evidence_is_evidence(files: int, missing: list[object], state: str) -> None:
    """Only nothing at all is a failure."""
    assert rules.outcome(files, missing) == state
